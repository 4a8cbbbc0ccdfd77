"""The target of a request line (RFC 9112 section 3.2)."""

from __future__ import annotations

import re

from .exchange import Refusal


def parse_target(target: str) -> tuple[str | None, str, str]:
    """Its authority, which only the absolute form has, its path and its query.

    :raises Refusal: 400, it is neither a path nor an http URL.
    """
    authority = None
    # Not: urlsplit(), which takes //name/path for an authority and a path; here, a path begins with any slash.
    if not target.startswith("/") and target != "*":
        found = _ABSOLUTE(target)
        if found is None:
            raise Refusal(400, "the target is neither a path nor an http URL")
        authority, target = found[1], found[2]
    path, _, query = target.partition("#")[0].partition("?")
    return authority, path or "/", query


_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL).fullmatch
