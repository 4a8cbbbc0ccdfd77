"""Sandbox: a mail's contents for a browser, which must never take them for pages of this site.

Invariant: what a mail says comes into a header only as far as it has the header's own form.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from .exchange import Request, Steps
from .mail import Part

_SLICE = 64 * 1024
"""Characters of a step."""


def content_type(part: Part) -> str:
    """As the part has it, if HTTP can say so (RFC 9110 section 8.3)."""
    if not _TYPE(part.content_type):
        return "application/octet-stream"
    is_known_text = part.content_type.startswith("text/") and _TOKEN(part.charset)
    return f"{part.content_type}; charset={part.charset}" if is_known_text else part.content_type


_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]{1,100}", re.ASCII).fullmatch
_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII).fullmatch


def disposition(name: str) -> tuple[str, str]:
    """The header that makes a content a file, not a page (RFC 6266)."""
    name = re.sub(r"[/\\\0]", "_", name)[-150:] or "unnamed"
    plain = re.sub(r"[^\w .()+-]", "_", name, flags=re.ASCII)
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return "Content-Disposition", f'attachment; filename="{plain}"{extended}'


def sandbox(images: str = "") -> tuple[str, str]:
    """The header by which a browser runs nothing of a mail, and takes it for no page of this site."""
    # Popups, because most links of mails open one; what they open is a page like any other.
    flags = "allow-popups allow-popups-to-escape-sandbox"
    policy = f"sandbox {flags}; default-src 'none'; img-src data: {images}; style-src 'unsafe-inline'"
    return "Content-Security-Policy", policy


def image_source(request: Request, path: str) -> str:
    """A path of this site as a sandboxed page's policy has to name it: in full."""
    host = request.headers.get("host", "")
    return f"http://{host}{path}" if _HOST(host) else ""


_HOST = re.compile(r"[\w.-]+(:[0-9]+)?", re.ASCII).fullmatch


def with_links(markup: str, parts: list[Part], path: str) -> Steps[str]:
    """HTML in which a reference to a part (RFC 2392) leads to the part's own path."""
    paths = {part.content_id: path + part.id for part in parts if part.content_id}
    if not paths:
        return markup
    pieces: list[str] = []
    start = 0
    while start < len(markup):
        cut = start + _SLICE
        if cut < len(markup):
            # Before a quote, because none is in a reference but at its start.
            quote = max(markup.rfind('"', start + 1, cut), markup.rfind("'", start + 1, cut))
            cut = quote if quote > 0 else cut
        pieces.append(
            _REFERENCE.sub(lambda found: found[1] + paths.get(unquote(found[3]), found[2]), markup[start:cut])
        )
        start = cut
        yield
    return "".join(pieces)


_REFERENCE = re.compile(r"""(["'(=]\s*+)(cid:([^"'\s<>)]++))""", re.IGNORECASE)
