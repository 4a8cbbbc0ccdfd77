"""Time is linear: an input twice as long costs at most a little more than twice, in steps that are counted.

Invariant: no clock. The interpreter's own steps are counted everywhere, the processor's where callgrind is there: only
these tell what a search in C, or a copy of all that is left, comes to.
"""
