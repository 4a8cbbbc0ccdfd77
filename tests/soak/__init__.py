"""Loads that last: the program as a process under many clients, long runs and large messages, against bounds.

Invariants: all of it is loopback, bounded in count and in time, and leaves no process behind; what must
hold on any machine (nothing lost, nothing doubled, memory, no work while idle) is held in the short form too.
"""
