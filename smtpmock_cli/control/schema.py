"""The words of OpenAPI 3.1 in which our endpoints are described."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TRUTH: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
ADDRESS: Schema = {"type": "string", "description": "an IP address"}
SECONDS: Schema = {"type": "number", "description": "seconds", "minimum": 0}
PAIRS: Schema = {"type": "array", "items": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}}


def whole(properties: dict[str, Schema], **more: Any) -> Schema:
    """An object that always has all of these properties, and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
        **more,
    }


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def component(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def answered(description: str, schema: Schema | None, content_type: str = "application/json") -> Schema:
    """A response; without a schema, of any content."""
    return {"description": description, "content": {content_type: {"schema": schema} if schema else {}}}


def body(schema: Schema) -> Schema:
    """A request's body, of JSON."""
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def in_path(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def operation(summary: str, answer: Schema, *errors: int, **more: Any) -> Schema:
    """What one method of one path does, beside the errors that every one of them may answer."""
    wrong = {str(status): answered(_ERRORS[status], component("Error")) for status in (400, 403, *errors)}
    return {"summary": summary, "responses": {"200": answer, **wrong}, **more}


_ERRORS = {
    400: "the request is wrong; the text says how",
    403: "the request calls this server by a foreign name, or comes from a foreign page",
    404: "there is no such thing",
    413: "the body is larger than 1 MiB",
    503: "the server is stopping",
}
