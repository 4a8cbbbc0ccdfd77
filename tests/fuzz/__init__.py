"""Fuzzing: ``python -m tests.fuzz`` feeds each target what nobody thought of, led by coverage where atheris is there.

Invariants: a target is ``check(data)``, which fails where something that must hold does not; it needs no atheris, so
that pytest plays every seed everywhere; the same bytes do the same in every run.
"""
