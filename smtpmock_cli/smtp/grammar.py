"""The command lines as the reference recognises them: each recogniser gives a value, or None.

Invariants: every recogniser is a fixed number of passes of the interpreter's own string routines,
so its cost is linear in the line; none looks at a character twice for its place in the line.
Not: regular expressions, because their repeated groups cost ten times more a character, and
because Python's IGNORECASE folds U+0131 to i, which Unicode's simple folding does not.

Bytes that are not UTF-8 arrive as lone surrogates and so belong to no class below.
"""

from __future__ import annotations

# White_Space of Unicode, which is less than str.strip() takes: not U+001C to U+001F.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

_COMMAND_WORDS = ("mail from:", "rcpt to:", "data", "quit", "ehlo", "helo", "rset", "noop")
_LONG_S = "\u017f"  # folds to s, but lower() leaves it alone
_KELVIN = "\u212a"  # folds to k
_YPOGEGRAMMENI = "\u0345"  # a mark that folds to the letter iota, so a letter where case does not count

_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOCAL_PART = _LETTERS + _DIGITS + ".!#$%&'*+-/=?^_{|}~`" + _LONG_S + _KELVIN
_BEFORE_ADDRESS = "\t\n\f\r <" + _YPOGEGRAMMENI


def decode_line(line: bytes | bytearray) -> str:
    """The line without the white space around it; what is not UTF-8 survives as lone surrogates."""
    return line.decode("utf-8", "surrogateescape").strip(WHITE_SPACE)


def holds_command_word(line: str) -> bool:
    """Whether a command's words stand anywhere in the line, whatever their case."""
    folded = line.lower() if line.isascii() else line.replace(_LONG_S, "s").lower()
    return any(word in folded for word in _COMMAND_WORDS)


def is_word(word: str, line: str) -> bool:
    """Whether the line is the word, given in lower case, and nothing else, whatever its case."""
    return line.replace(_LONG_S, "s").lower() == word


def helo_argument(line: str) -> str | None:
    """The domain or address literal of a HELO or EHLO line (RFC 5321 section 4.1.1.1)."""
    verb, _, argument = line.partition(" ")
    if verb.lower() not in ("helo", "ehlo"):
        return None
    if _is_domain(argument) or _is_dotted_quad(argument) or _is_address_literal(argument):
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
    name = before.rstrip(_LOCAL_PART)
    local_part, domain = before[len(name) :], after.rstrip(">")
    if not (at and local_part and _is_domain(domain)):
        return None
    # isalnum() is exactly Unicode's categories L and N; a test holds it to that.
    if name == "<" or not (name := _drop(name, _BEFORE_ADDRESS)) or name.isalnum():
        return f"{local_part}@{domain}"
    return None


def _is_domain(text: str) -> bool:
    groups, dot, top = text.rpartition(".")
    if not dot:
        return is_word("localhost", text[:10])
    return 2 <= len(top) <= 63 and _are_letters(top) and _are_groups(groups)


def _are_groups(text: str) -> bool:
    joined = text.replace("-", ".")
    if not joined or ".." in joined or joined[0] == "." or joined[-1] == ".":
        return False
    joined = joined.replace(".", "")
    return joined.isalnum() if joined.isascii() else _are_letters(_drop(joined, _DIGITS))


def _are_letters(text: str) -> bool:
    # isalpha() is exactly Unicode's category L.
    return text.isalpha() or not (rest := _drop(text, _YPOGEGRAMMENI)) or rest.isalpha()


def _drop(text: str, characters: str) -> str:
    # Not: str.translate, because it looks every non-ASCII character up in a dict.
    for character in characters:
        if character in text:
            text = text.replace(character, "")
    return text


def _is_address_literal(text: str) -> bool:
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
