"""What a host's name or address means, to listen on it and to connect to it, as with go-smtp-mock."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Any

ANY_ADDRESS = ("", "0", "0.0.0.0", "::")
"""How every interface is called."""
_IPV4_MAPPED = bytes(10) + b"\xff\xff"
"""The first bytes of such an address (RFC 4291 section 2.5.5.2)."""
_LARGEST_SCOPE = 0xFFFFFF


def resolve(host: str) -> tuple[int, tuple[Any, ...]] | None:
    """The family and address of a host, with what bind() and connect() take behind the port; None for every interface.

    An unspecified address means every interface, of IPv6 and IPv4, and an IPv4-mapped one the IPv4 address in it.

    :raises OSError: the host has no such address.
    :raises ValueError: the host is not a valid name.
    """
    host = _without_brackets(host)
    if host in ANY_ADDRESS:
        return None
    found = _ipv6_address(host) if ":" in host else _looked_up(host)
    return None if found[1][0] in ANY_ADDRESS else found


def _without_brackets(host: str) -> str:
    """The host without the one pair of brackets that may be around it."""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if "[" in host or "]" in host:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), host)
    return host


def _ipv6_address(text: str) -> tuple[int, tuple[Any, ...]]:
    """An address with or without a zone (RFC 4007 section 11), as a family and what bind() takes except the port."""
    # Not: getaddrinfo(), because it takes an interface's name for link-local addresses only, and leaves an
    # IPv4-mapped address what it is: a client on 127.0.0.1 would be refused.
    address, zone = text.rsplit("%", 1) if "%" in text else (text, "")
    packed = socket.inet_pton(socket.AF_INET6, address)
    if packed.startswith(_IPV4_MAPPED):
        return socket.AF_INET, (socket.inet_ntop(socket.AF_INET, packed[len(_IPV4_MAPPED) :]),)
    return socket.AF_INET6, (socket.inet_ntop(socket.AF_INET6, packed), 0, _scope(zone))


def _scope(zone: str) -> int:
    """The number of an interface, from its name or that number; 0, which lets the system choose, for any other."""
    with suppress(OSError, ValueError):
        return socket.if_nametoindex(zone)
    return min(int(zone), _LARGEST_SCOPE) if zone.isascii() and zone.isdigit() else 0


def _looked_up(name: str) -> tuple[int, tuple[Any, ...]]:
    """What the resolver finds for a name or an IPv4 address, in the form of :func:`resolve`."""
    # As bytes, because a str makes the interpreter import its idna codec; without the port, because
    # some resolvers cut a port down to 16 bits where bind() refuses it.
    encoded = name.encode("ascii" if name.isascii() else "idna")
    try:
        found = socket.getaddrinfo(encoded, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        if not _is_localhost(name):
            raise
        return socket.AF_INET, ("127.0.0.1",)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)  # as go-smtp-mock
    return family, (address[0], *address[2:])


def _is_localhost(name: str) -> bool:
    """Whether a name means this machine wherever it is (RFC 6761 section 6.3): an empty container has no /etc/hosts."""
    return name.lower().rstrip(".").rpartition(".")[2] == "localhost"
