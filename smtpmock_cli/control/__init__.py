"""The HTTP side: reading and steering a server from outside, on the server's own loop."""
