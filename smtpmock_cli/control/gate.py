"""Who may speak to the HTTP side: no web page of another site, whatever name it made up for this server.

A browser sends requests to a loopback address for any page that is open in it. Their ``Host`` shows a name that was
made to point here (DNS rebinding); their ``Origin``, ``Sec-Fetch-Site`` and ``Referer`` the page that they come from.
Clients that are not browsers send none of these but ``Host``. Over plain HTTP to anything but loopback, browsers send
no ``Sec-Fetch-Site``, and ``Origin`` only with methods other than GET: there ``Referer`` has to serve.

``Sec-Fetch-Site: none`` stands for the user, who has typed the address. Not always: Chromium sends it when it loads
ahead for a page's speculation rules, which is refused, and when a page that the user has typed redirects here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from .exchange import Refusal, Request
from .routes import Route

_OWN_SITE = ("same-origin", "none")


class Gate:
    """Lets requests pass, or not.

    :param own_names: what this server is called.
    :param host: the address that it listens on; empty for every interface.
    """

    def __init__(self, own_names: Iterable[str], host: str) -> None:
        self._names = names(own_names)
        self._is_on_loopback = host != "" and ip_address(host).is_loopback

    def check_host(self, request: Request, server_address: str) -> None:
        """Refuse a request that calls this server by a name that is not its own, or comes from another origin's page.

        :param server_address: the IP address that the client connected to.
        :raises Refusal: 400, ``Host`` is not valid; 403.
        """
        given = request.headers.get("host", "")
        name = host_name(given)
        if name is None:
            raise Refusal(400, f"Host is not valid: {given}")
        if name not in self._names and name != _plain(server_address) and not self._can_only_be_local(name):
            raise Refusal(403, f"Host {given or '(none)'} is not allowed; add it with -httpNames")
        origin = request.headers.get("origin")
        if origin is not None and authority(origin) != given.lower():
            raise Refusal(403, f"not for pages of {origin}")

    def check_route(self, request: Request, route: Route) -> None:
        """Refuse what another site's page may not ask for.

        :raises Refusal: 403.
        """
        if _is_speculative(request):
            raise Refusal(403, "not for a browser that loads ahead of its user")
        site = request.headers.get("sec-fetch-site")
        if site is not None and site not in _OWN_SITE and not (route.embeddable and _only_shows(request)):
            raise Refusal(403, f"not for pages of another site (Sec-Fetch-Site: {site})")
        if request.method == "GET" and route.changes(request):
            self._check_changing_get(request, site)

    def _check_changing_get(self, request: Request, site: str | None) -> None:
        # Of other methods, browsers always say by Origin which page asks.
        referer = request.headers.get("referer")
        if referer is not None and authority(referer) != request.headers.get("host", "").lower():
            raise Refusal(403, f"not for pages of another site (Referer: {referer})")
        page_is_known = site == "same-origin" or referer is not None or "origin" in request.headers
        if not (page_is_known or self._is_on_loopback) and "Mozilla/" in request.headers.get("user-agent", ""):
            raise Refusal(403, "a browser has to say which page asks for a change: Referer and Origin are missing")

    def _can_only_be_local(self, name: str) -> bool:
        """Whether a page of another site cannot have the name: such a name is public, so it has a dot."""
        # On loopback it is of no use to clients, and a single label may be somebody's machine in the same network.
        return not self._is_on_loopback and (_is_label(name) is not None or _is_address(name))


def names(given: Iterable[str]) -> Collection[str]:
    """Names and addresses as they are compared; "every interface" is none."""
    return frozenset(_plain(name) for name in given) - {"", "0", "0.0.0.0", "::"}


def host_name(given: str) -> str | None:
    """The host of ``host:port`` in its one form, or None where it is not valid (RFC 9110 section 7.2)."""
    found = _HOST(given)
    if found is None:
        return None
    try:
        return str(IPv6Address(found["ipv6"])) if found["ipv6"] else found["name"].lower()
    except AddressValueError:
        return None


_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.~%!$&'()*+,;=-]*))(?::[0-9]*)?", re.ASCII).fullmatch


def authority(url: str) -> str:
    """The ``host:port`` of an http URL, in lower case; empty where it has none."""
    found = _URL(url)
    return found[1].lower() if found else ""


_URL = re.compile("https?://([^/?#]*)", re.IGNORECASE).match


# Not: any name without a dot, because a browser takes %2e for one.
_is_label = re.compile(r"[\w-]+", re.ASCII).fullmatch


def _plain(name: str) -> str:
    """A name or address in lower case, an IPv6 address without brackets and zone, as short as it can be."""
    name = name.strip("[]").partition("%")[0].lower()
    try:
        return str(IPv6Address(name)) if ":" in name else name
    except AddressValueError:
        return name


def _is_address(name: str) -> bool:
    try:
        IPv4Address(name)
    except AddressValueError:
        return ":" in name
    return True


def _only_shows(request: Request) -> bool:
    """Whether a browser follows a link, or shows a picture, as in a mail's HTML, which is a site of its own."""
    mode, destination = request.headers.get("sec-fetch-mode"), request.headers.get("sec-fetch-dest")
    if destination != "document" and "query" in request.query_values():
        return False  # a page learns whether its picture or frame was found, so it could search all mails
    return mode == "navigate" or destination == "image"


def _is_speculative(request: Request) -> bool:
    """Whether a browser asks before its user does, at another site's page's wish or its own."""
    # Not: left to Sec-Fetch-Site, which is "none" then in Chromium, whichever page has asked for it.
    return any("prefetch" in request.headers.get(name, "") for name in ("sec-purpose", "purpose", "x-moz"))
