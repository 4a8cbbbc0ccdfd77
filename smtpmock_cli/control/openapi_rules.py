"""The description of the rules: what goes together, told as the forms that a rule can have."""

from __future__ import annotations

from ..rule import ANY, HANG, LONGEST_DELAY, MOST, NAME, OCCASIONS, PERS, RATE, REPLY, RULES_LIMIT, THENS
from .schema import COUNT, TEXT, Schema, answered, body, component, listed, operation, whole

_LINE: Schema = {"type": "string", "pattern": f"^{REPLY}$"}
_FROM_ONE: Schema = {"type": "integer", "minimum": 1, "maximum": MOST}
_FROM_ZERO: Schema = {**_FROM_ONE, "minimum": 0}
_CONDITIONS: dict[str, Schema] = {
    "name": {"type": "string", "pattern": f"^{NAME}$"},
    "match": TEXT,
    "sender": TEXT,
    "recipient": TEXT,
    "skip": _FROM_ZERO,
    "times": _FROM_ONE,
    "every": _FROM_ONE,
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
    "over_rate": {"type": "string", "pattern": f"^{RATE}$"},
    "over_connections": _FROM_ZERO,
    "per": {"enum": [*PERS]},
}
_ANSWER: dict[str, Schema] = {
    "reply": {"anyOf": [_LINE, {**listed(_LINE), "minItems": 1, "description": "all of one code"}]},
    "delay": {"type": "number", "minimum": 0, "maximum": LONGEST_DELAY},
    "drip": {"type": "number", "exclusiveMinimum": 0, "maximum": MOST},
}
_GOES_ON_OR_ENDS: Schema = {"enum": [then for then in THENS if then != HANG]}


def paths() -> dict[str, Schema]:
    """What is served below ``/smtpmock/rules``."""
    rules = answered("the rules in force now", component("RulesInForce"))
    return {
        "/smtpmock/rules": {
            "get": operation("The rules in force, and how often each has fired", rules),
            "put": operation("Put others in their place", rules, 413, requestBody=body(component("Rules"))),
            "post": operation("Add a rule, as the last one", rules, 413, requestBody=body(component("Rule"))),
            "delete": operation("Remove all rules, and what they have counted", rules),
        }
    }


def schemas() -> dict[str, Schema]:
    rules = {**listed(component("Rule")), "maxItems": RULES_LIMIT}
    on_message = {**_one_or_several(OCCASIONS), "contains": {"enum": ["message", ANY]}}
    text = {"type": "string", "minLength": 1}
    return {
        "Rule": {
            "description": "When something happens, and what then",
            "anyOf": [
                *_forms({**_CONDITIONS, "on": {"anyOf": [{"enum": [*OCCASIONS]}, _one_or_several(OCCASIONS)]}}),
                *_forms({**_CONDITIONS, "on": {"anyOf": [{"enum": ["message", ANY]}, on_message]}, "contains": text}),
                _rule(
                    {**_CONDITIONS, **_ANSWER, "on": {"enum": ["data", ["data"]]}},
                    {"after_bytes": _FROM_ONE, "then": {"enum": [*THENS[1:]]}},
                ),
            ],
        },
        "Rules": whole({"rules": rules}),
        "RulesInForce": whole({"rules": rules, "fired": listed(COUNT)}),
    }


def _one_or_several(texts: tuple[str, ...]) -> Schema:
    return {**listed({"enum": [*texts]}), "minItems": 1}


def _forms(conditions: dict[str, Schema]) -> list[Schema]:
    """Something has to happen: one of these is needed; and a rule that hangs gives no reply."""
    answer = {**_ANSWER, "then": _GOES_ON_OR_ENDS}
    silent = {key: schema for key, schema in _ANSWER.items() if key != "reply"}
    return [
        *(_rule({**conditions, **answer}, {key: schema}) for key, schema in answer.items()),
        _rule({**conditions, **silent}, {"then": {"const": HANG}}),
    ]


def _rule(properties: dict[str, Schema], needed: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": {**properties, **needed},
        "required": ["on", *needed],
        "additionalProperties": False,
    }
