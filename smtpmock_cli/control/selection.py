"""Selection: which mails a request of Mailpit's is about: by query, by page, or by ids in its body."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from .exchange import Refusal, Request, Steps
from .search import Term, terms

USUAL_LIMIT = 50
"""How many mails a list shows that was not asked for a number."""
_FORM = "application/x-www-form-urlencoded"
_PAIRS_A_STEP = 1000
_MOST_NAMES = 100
_LONGEST_PAIR = 16 * 1024
"""Of a form, in bytes: a query has no more."""


def wanted_terms(given: dict[str, str]) -> list[Term]:
    """What a query asks for.

    :raises Refusal: 400, there is none, or it can't be met here.
    """
    if not given.get("query"):
        raise Refusal(400, "query is missing")
    return terms(given["query"])


def start_and_limit(given: dict[str, str]) -> tuple[int, int]:
    """Where a list starts, and how long it is; 0 is without an end.

    :raises Refusal: 400, one is not a number.
    """
    return _number(given, "start", 0), _number(given, "limit", USUAL_LIMIT)


def _number(given: dict[str, str], name: str, usual: int) -> int:
    text = given.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refusal(400, f"{name} takes a whole number from 0 on, not {text}")
    return int(text)


def body_fields(request: Request, *known: str) -> Steps[dict[str, Any]]:
    """The body's fields, their names in lower case; from JSON, or from a form, as one client sends it.

    :raises Refusal: 400, one is not known: a client that misspells ``IDs`` does not mean all.
    """
    if not request.body:
        return {}
    is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
    given = (yield from _form_fields(request.body)) if is_form else request.json()
    if not isinstance(given, dict):
        raise Refusal(400, "the body is not a JSON object")
    fields = {name.lower(): value for name, value in given.items()}
    for name in fields:
        if name not in known:
            raise Refusal(400, f"no such field: {name}; known here: {', '.join(known)}")
    return fields


def _form_fields(body: bytes) -> Steps[dict[str, Any]]:
    try:
        pairs = body.decode("ascii").split("&")
        form: dict[str, list[str]] = {}
        for at in range(0, len(pairs), _PAIRS_A_STEP):
            if len(form) > _MOST_NAMES or max(map(len, pairs[at : at + _PAIRS_A_STEP])) > _LONGEST_PAIR:
                raise Refusal(400, f"the form has more than {_MOST_NAMES} names, or a field over {_LONGEST_PAIR} bytes")
            for name, values in parse_qs("&".join(pairs[at : at + _PAIRS_A_STEP]), errors="strict").items():
                form.setdefault(name, []).extend(values)
            yield
    except ValueError:
        raise Refusal(400, "the body is not a form in UTF-8") from None
    truths = {"read=true": True, "read=false": False}
    last = {name: truths.get(f"{name}={values[-1]}".lower(), values[-1]) for name, values in form.items()}
    return {name: form[name] if name.lower() == "ids" else value for name, value in last.items()}


def wanted_ids(fields: dict[str, Any]) -> list[str]:
    """The ids in a body's fields; none where it names none.

    :raises Refusal: 400, they are not strings.
    """
    ids = fields.get("ids")
    if ids is None:
        return []
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise Refusal(400, "IDs is not a list of strings")
    return ids
