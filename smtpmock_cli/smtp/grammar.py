"""The command lines as the reference recognises them: each recogniser gives a value, or None.

Invariants: every recogniser is a fixed number of passes of the interpreter's own string routines,
so its cost is linear in the line; no pass comes back to a character.
Not: regular expressions, because their repeated groups cost ten times more a character, because
Python's IGNORECASE folds U+0131 to i, which Unicode's simple folding does not, and because compiling
them is a part of every start.

Bytes that are not UTF-8 arrive as lone surrogates and so belong to no class below.
"""

from __future__ import annotations

# White_Space of Unicode, which is less than str.strip() takes: not U+001C to U+001F.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

_COMMAND_WORDS = (b"mail from:", b"rcpt to:", b"data", b"quit", b"ehlo", b"helo", b"rset", b"noop")
_LONG_S = "\u017f"  # folds to s, but lower() leaves it alone
_KELVIN = "\u212a"  # folds to k
_IOTA_MARK = "\u0345".encode()  # a mark that folds to the letter iota, so a letter where case does not count

_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_PLAIN_AND_DOT = _PLAIN + b"."
_PLAIN_AND_SPACE = _PLAIN + b"\t\n\f\r <"
_HYPHEN_TO_DOT = bytes.maketrans(b"-", b".")
_LOCAL_PART = _PLAIN + b".!#$%&'*+-/=^_{|}~`"
_IS_LOCAL_PART = bytes(byte in _LOCAL_PART for byte in range(256))


def decode_line(line: bytes | bytearray) -> str:
    """The line without the white space around it; what is not UTF-8 survives as lone surrogates."""
    return line.decode("utf-8", "surrogateescape").strip(WHITE_SPACE)


def holds_command_word(line: str) -> bool:
    """Whether a command's words stand anywhere in the line, whatever their case."""
    folded = _in_bytes(line.replace(_LONG_S, "s")).lower()
    return any(word in folded for word in _COMMAND_WORDS)


def is_word(word: str, line: str) -> bool:
    """Whether the line is the word, given in lower case, and nothing else, whatever its case."""
    return len(line) == len(word) and line.replace(_LONG_S, "s").lower() == word


def helo_argument(line: str) -> str | None:
    """The domain or address literal of a HELO or EHLO line (RFC 5321 section 4.1.1.1)."""
    verb, _, argument = line.partition(" ")
    if verb.lower() not in ("helo", "ehlo"):
        return None
    if _is_domain(argument) or _is_dotted_quad(argument) or is_address_literal(argument):
        return argument
    return None


def mailfrom_address(line: str) -> str | None:
    """The address of a MAIL FROM line, as written (RFC 5321 section 4.1.1.2, loosely)."""
    return _address(line, "mail from:")


def rcptto_address(line: str) -> str | None:
    """The address of a RCPT TO line, as written (RFC 5321 section 4.1.1.3, loosely)."""
    return _address(line, "rcpt to:")


def _address(line: str, words: str) -> str | None:
    if line[: len(words)].lower() != words:
        return None
    before, at, after = line[len(words) :].partition("@")
    start = _local_part_start(before)
    name, local_part, domain = before[:start], before[start:], after.rstrip(">")
    if at and local_part and _is_domain(domain) and (name == "<" or _is_name(name)):
        return f"{local_part}@{domain}"
    return None


def _local_part_start(text: str) -> int:
    """Where the longest run of a local part's characters begins that reaches to the end."""
    # The question mark is such a character itself, and encoding makes it of whatever is none.
    folded = text.replace("?", "a").replace(_LONG_S, "s").replace(_KELVIN, "k")
    return folded.encode("ascii", "replace").translate(_IS_LOCAL_PART).rfind(b"\0") + 1


def _is_name(text: str) -> bool:
    rest = _in_bytes(text).translate(None, _PLAIN_AND_SPACE).replace(_IOTA_MARK, b"")
    # isalnum() is exactly Unicode's categories L and N; a test holds it to that.
    return not rest or rest.decode("utf-8").isalnum()


def _is_domain(text: str) -> bool:
    groups, dot, top = text.rpartition(".")
    if not dot:
        return is_word("localhost", text)
    if not (2 <= len(top) <= 63 and (top.isalpha() or _are_letters(_in_bytes(top)))):
        return False
    dotted = _in_bytes(f".{groups}.").translate(_HYPHEN_TO_DOT)
    if b".." in dotted:
        return False
    rest = dotted.translate(None, _PLAIN_AND_DOT)
    return not rest or _are_letters(rest)


def _are_letters(text: bytes) -> bool:
    rest = text.replace(_IOTA_MARK, b"")
    # isalpha() is exactly Unicode's category L.
    return not rest or rest.decode("utf-8").isalpha()


def _in_bytes(text: str) -> bytes:
    # Where several passes are made: they cost many times more on text that is not ASCII. A lone
    # surrogate becomes a question mark, which is in no class either.
    return text.encode("utf-8", "replace")


def is_address_literal(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address in brackets (RFC 5321 section 4.1.3)."""
    inside = text[1:-1]
    return text[:1] == "[" and text[-1:] == "]" and (_is_dotted_quad(inside) or _is_ipv6_literal(inside))


def _is_dotted_quad(text: str) -> bool:
    if not 7 <= len(text) <= 15:
        return False
    parts = text.split(".")
    return len(parts) == 4 and all(_is_octet(part) for part in parts)


def _is_octet(text: str) -> bool:
    return 1 <= len(text) <= 3 and text.isascii() and text.isdigit() and int(text) <= 255


def _is_ipv6_literal(text: str) -> bool:
    """RFC 5321 section 4.1.3: the tag, then an address in which :: stands for two groups or more."""
    if text[:5].lower() != "ipv6:" or len(text) > 50 or "%" in text:
        return False
    import ipaddress  # rarely sent, and no part of start-up

    try:
        ipaddress.IPv6Address(text[5:])
    except ValueError:
        return False
    groups = [group for group in text[5:].split(":") if group]
    return "::" not in text or len(groups) + ("." in text) <= 6
