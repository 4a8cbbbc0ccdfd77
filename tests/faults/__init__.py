"""Faults: what goes wrong around the program, and that the program goes on, or ends as it should.

Invariants: the program is a real process, the fault is a real one where the system lets a test cause it; all is
loopback and bounded in count and time; a wait is for an event (bytes, a log line, an answer, a process's end) and
has a deadline; nothing is left behind.
"""
