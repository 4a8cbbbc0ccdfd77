"""The only I/O: sockets, timers and signals on one loop."""
