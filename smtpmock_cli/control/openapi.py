"""The description of the endpoints, in OpenAPI 3.1; settings and record fields from where they are declared.

Invariant: every path and method that is served is described, and no other; a test holds it so.
"""

from __future__ import annotations

from ..configuration import changeable
from ..message import Message
from ..net.smtp import WAITS
from ..settings import Setting
from ..version import VERSION
from . import openapi_mailpit, openapi_rules
from .api import LONGEST_WAIT, MOST_AWAITED, PEM, USUAL_WAIT
from .schema import (
    ADDRESS,
    COUNT,
    PAIRS,
    SECONDS,
    TEXT,
    TRUTH,
    Schema,
    answered,
    body,
    component,
    in_path,
    listed,
    operation,
    query,
    whole,
)


def document() -> Schema:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "smtpmock",
            "version": VERSION,
            "description": "Reads and steers a fake SMTP server. Below /api/v1, a subset of Mailpit's API.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {**_paths(), **openapi_rules.paths(), **openapi_mailpit.paths()},
        "components": {"schemas": {**_schemas(), **openapi_rules.schemas(), **openapi_mailpit.schemas()}},
    }


def _paths() -> dict[str, Schema]:
    number = in_path("id", {"type": "integer", "minimum": 1}, "a message's number on its server")
    change = body(component("Change"))
    configuration = answered("what is in force now", component("Configuration"))
    listing = answered("the messages", component("Listing"))
    text = answered("ok", {"const": "ok"}, "text/plain")
    mail = answered("with its Return-Path and Received headers", None, "message/rfc822")
    return {
        "/livez": {"get": operation("Whether it runs", text)},
        "/readyz": {"get": operation("Whether it accepts sessions", text, 503)},
        "/smtpmock/openapi.json": {"get": operation("This document", answered("this document", {"type": "object"}))},
        "/smtpmock/messages": {
            "get": operation("All messages in order of arrival; waits for them", listing, parameters=_waiting()),
            "delete": operation("Take all messages out", listing),
        },
        "/smtpmock/messages/{id}": {
            "get": operation("One message", answered("the message", component("Message")), 404, parameters=[number])
        },
        "/smtpmock/messages/{id}.eml": {
            "get": operation("One message as a mail", mail, 404, parameters=[number]),
        },
        "/smtpmock/sessions": {
            "get": operation("The sessions under way", answered("the sessions", component("Sessions")))
        },
        "/smtpmock/tls-authority.pem": {
            "get": operation("The certificate to trust, where TLS is self-signed", answered("PEM", None, PEM), 404)
        },
        "/smtpmock/configuration": {
            "get": operation("What can change while the server runs", configuration),
            "patch": operation(
                "Change some settings, from the next command on",
                configuration,
                413,
                requestBody=change,
            ),
            "delete": operation("Go back to the settings of the start", configuration),
        },
    }


def _waiting() -> list[Schema]:
    return [
        query("count", {**COUNT, "maximum": MOST_AWAITED}, "answer as soon as so many are there"),
        query(
            "timeout",
            {**SECONDS, "maximum": LONGEST_WAIT, "default": USUAL_WAIT},
            "after so many seconds, answer with what has arrived",
        ),
        query("purge", {**TRUTH, "default": False}, "take out what the answer carries, in the same step"),
    ]


def _schemas() -> dict[str, Schema]:
    return {
        "Error": whole({"error": TEXT}),
        "Listing": whole({"complete": TRUTH, "count": COUNT, "messages": listed(component("Message"))}),
        "Message": whole(
            {
                "id": {"type": "integer", "minimum": 1},
                "received_at": {"type": "string", "format": "date-time"},
                "client_address": ADDRESS,
                "server_address": ADDRESS,
                "reverse_path": TEXT,
                "forward_paths": listed(TEXT),
                **_record(),
            }
        ),
        "Sessions": whole({"count": COUNT, "sessions": listed(component("Session"))}),
        "Session": whole(
            {
                "id": {"type": "integer", "minimum": 1},
                "client_address": ADDRESS,
                "client_port": COUNT,
                "state": {"enum": [*WAITS]},
                "age": SECONDS,
                "silence": SECONDS,
                "last_request": TEXT,
                "last_response": TEXT,
                "body_size": COUNT,
                "message": whole(_record_without_body(), description="the record of the transaction under way"),
            }
        ),
        "Configuration": whole({known.field: _of_setting(known) for known in changeable() if not known.secret}),
        "Change": {
            "type": "object",
            "properties": {known.field: {"anyOf": [_of_setting(known), {"type": "null"}]} for known in changeable()},
            "additionalProperties": False,
            "description": "null, and an empty value, is the default",
        },
    }


def _record() -> dict[str, Schema]:
    kinds: dict[type, Schema] = {str: TEXT, bool: TRUTH, bytes: TEXT, list: PAIRS}
    fields = {name: kinds[type(value)] for name, value in Message().as_dict().items()}
    parameters: Schema = {"type": "object", "additionalProperties": TEXT}
    return {
        **fields,
        "msg_request_encoding": {"enum": ["utf-8", "base64"]},
        "mailfrom_parameters": parameters,
        "rcptto_parameters": {**listed(parameters), "description": "for each of the forward paths"},
        "chunks": {**COUNT, "description": "how many BDAT commands brought the body; 0 after DATA"},
        "tls": {**TEXT, "description": "the version of TLS; empty where there was none"},
        "auth": TRUTH,
        "auth_mechanism": TEXT,
        "auth_username": TEXT,
        "rules": listed(TEXT),
    }


def _record_without_body() -> dict[str, Schema]:
    return {name: schema for name, schema in _record().items() if not name.startswith("msg_request")}


def _of_setting(known: Setting) -> Schema:
    text = {**TEXT, "pattern": f"^({known.pattern})$"} if known.pattern else TEXT
    kinds: dict[type, Schema] = {
        bool: TRUTH,
        int: {"type": "integer", "minimum": known.minimum, "maximum": 2**63 - 1},
        str: text,
        tuple: listed(text),
    }
    unit = f", in {known.unit}" if known.unit else ""
    schema = {**kinds[known.kind], "description": known.help + unit}
    return {"anyOf": [schema, {"type": "null"}]} if known.default is None else schema
