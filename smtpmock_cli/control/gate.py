"""Who may speak to the HTTP side: no web page of another site, whatever name it made up for this server.

A browser will send requests to a loopback address for any page that is open in it. Their ``Host`` gives
away a name that was made to point here (DNS rebinding); their ``Origin`` and ``Sec-Fetch-Site`` the page
that they come from. Clients that are no browsers send neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .exchange import Refusal, Request

_OWN_SITE = ("same-origin", "none")


def check(request: Request, own_names: Collection[str]) -> None:
    """Let a request pass.

    :param own_names: the names and addresses of this server, in lower case, IPv6 without brackets.
    :raises Refusal: 403, it is called by another name, or on behalf of another site.
    """
    host = request.headers.get("host", "")
    if host_name(host) not in own_names:
        raise Refusal(403, f"this server is not called {host or 'nothing'}; -httpNames adds names")
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        raise Refusal(403, f"not for pages of {origin}")
    site = request.headers.get("sec-fetch-site", "none")
    if site not in _OWN_SITE and (_changes_something(request) or not _only_shows(request)):
        raise Refusal(403, f"not for pages of another site (Sec-Fetch-Site: {site})")


def names(given: Iterable[str]) -> frozenset[str]:
    """Names and addresses as :func:`check` compares them; "every interface" is none."""
    return frozenset(name.strip("[]").lower() for name in given) - {"", "0", "0.0.0.0", "::"}


def host_name(authority: str) -> str:
    """The host of ``host:port``, in lower case, an IPv6 address without its brackets (RFC 3986 section 3.2.2)."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def _only_shows(request: Request) -> bool:
    """Whether a browser follows a link, or shows a picture, as in a mail's HTML, which is a site of its own."""
    return request.headers.get("sec-fetch-mode") == "navigate" or request.headers.get("sec-fetch-dest") == "image"


def _changes_something(request: Request) -> bool:
    return request.method not in ("GET", "HEAD") or "purge" in request.query
