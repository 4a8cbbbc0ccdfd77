"""What the program costs, as ratios to peers that are measured in the same run.

Invariants: a program, never a test: no figure fails it. All of it is loopback, bounded in count and
time, and leaves no process behind.
"""
