"""SMTP without I/O: bytes in, events out. Nothing here knows a socket, a clock, a thread or a log."""
