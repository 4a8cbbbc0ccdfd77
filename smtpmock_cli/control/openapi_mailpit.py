"""The description of the part of Mailpit's API that is served, in Mailpit's own names."""

from __future__ import annotations

from .schema import COUNT, TEXT, TRUTH, Schema, answered, component, in_path, listed, operation, query, whole
from .selection import USUAL_LIMIT

IDS: Schema = {"anyOf": [listed(TEXT), {"type": "null"}]}
DATE: Schema = {"type": "string", "format": "date-time"}


_OK = answered("ok", {"const": "ok"}, "text/plain")
_SEARCH = {**query("query", {**TEXT, "minLength": 1}, "as Mailpit has it"), "required": True}
_TZ = query("tz", TEXT, "not looked at")


def paths() -> dict[str, Schema]:
    """The paths below ``/api/v1`` and ``/view``."""
    mails = answered("a page of the list", component("MailpitList"))
    ids = _body({"IDs": IDS})
    marks = _body({"IDs": IDS, "Read": TRUTH, "Search": TEXT})
    page = [
        query("start", {**COUNT, "default": 0, "maximum": 10**9 - 1}, "how many to leave out"),
        query("limit", {**COUNT, "default": USUAL_LIMIT, "maximum": 10**9 - 1}, "how many to list; 0 is all"),
    ]
    return {
        "/api/v1/info": {"get": operation("About the server", answered("figures", component("MailpitInfo")))},
        "/api/v1/messages": {
            "get": operation("The accepted mails, newest first", mails, parameters=page),
            "put": operation("Mark mails as read or unread", _OK, 413, requestBody=marks, parameters=[_TZ]),
            "delete": operation("Delete mails; without IDs all", _OK, 413, requestBody=ids),
        },
        "/api/v1/search": {
            "get": operation("The mails found", mails, parameters=[_SEARCH, _TZ, *page]),
            "delete": operation("Delete the mails found", _OK, parameters=[_SEARCH, _TZ]),
        },
        **_paths_of_a_mail(),
    }


def _paths_of_a_mail() -> dict[str, Schema]:
    common = [
        in_path("id", TEXT, "a message's ID, or latest"),
        query("query", TEXT, "which messages latest is of"),
        _TZ,
    ]
    part = in_path("part_id", TEXT, "a part's PartID")
    download = query("dl", TEXT, "1 to be offered as a file")
    embed = query("embed", TEXT, "not looked at")
    mail = answered("the message", component("MailpitMessage"))
    headers = answered("the values of each header field", {"type": "object", "additionalProperties": listed(TEXT)})
    described = {
        "/api/v1/message/{id}": operation("One mail", mail, 404, parameters=common),
        "/api/v1/message/{id}/headers": operation("Its header", headers, 404, parameters=common),
        "/api/v1/message/{id}/raw": operation(
            "The mail itself", _any("text/plain"), 404, parameters=[*common, download]
        ),
        "/api/v1/message/{id}/part/{part_id}": operation(
            "One part of it, decoded", _any("*/*"), 404, parameters=[*common, part]
        ),
        "/view/{id}.html": operation("Its HTML", _any("text/html"), 404, parameters=[*common, embed]),
        "/view/{id}.txt": operation("Its text", _any("text/plain"), 404, parameters=common),
    }
    return {path: {"get": operation} for path, operation in described.items()}


def _body(properties: dict[str, Schema]) -> Schema:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"required": False, "content": {"application/json": {"schema": schema}}}


def _any(content_type: str) -> Schema:
    return answered("its content", None, content_type)


def schemas() -> dict[str, Schema]:
    """The components that the paths refer to."""
    mailbox = component("MailpitMailbox")
    envelope: dict[str, Schema] = {
        "ID": TEXT,
        "MessageID": TEXT,
        "From": mailbox,
        **{name: listed(mailbox) for name in ("To", "Cc", "Bcc", "ReplyTo")},
        "Subject": TEXT,
        "Username": TEXT,
        "Tags": listed(TEXT),
        "Size": COUNT,
        "Read": TRUTH,
    }
    attachments = listed(component("MailpitAttachment"))
    unsubscribe = whole({"Header": TEXT, "Links": listed(TEXT), "Errors": TEXT, "HeaderPost": TEXT})
    counts = dict.fromkeys(("total", "unread", "count", "messages_count", "messages_unread", "start"), COUNT)
    return {
        "MailpitMailbox": whole({"Name": TEXT, "Address": TEXT}),
        "MailpitList": whole({**counts, "tags": listed(TEXT), "messages": listed(component("MailpitSummary"))}),
        "MailpitSummary": whole({**envelope, "Created": DATE, "Attachments": COUNT, "Snippet": TEXT}),
        "MailpitMessage": whole(
            {
                **envelope,
                "ReturnPath": TEXT,
                "ListUnsubscribe": unsubscribe,
                "Date": DATE,
                "Text": TEXT,
                "HTML": TEXT,
                "Inline": attachments,
                "Attachments": attachments,
            }
        ),
        "MailpitAttachment": _attachment(),
        "MailpitInfo": _info(),
    }


def _attachment() -> Schema:
    texts = dict.fromkeys(("PartID", "FileName", "ContentType", "ContentID"), TEXT)
    checksums = dict.fromkeys(("MD5", "SHA1", "SHA256"), TEXT)
    return whole({**texts, "Size": COUNT, "Checksums": whole(checksums)})


def _info() -> Schema:
    figures = ("Uptime", "Memory", "MessagesDeleted", "SMTPAccepted", "SMTPAcceptedSize", "SMTPRejected", "SMTPIgnored")
    return whole(
        {
            **dict.fromkeys(("Version", "LatestVersion", "Database"), TEXT),
            **dict.fromkeys(("DatabaseSize", "Messages", "Unread"), COUNT),
            "Tags": {"type": "object", "additionalProperties": COUNT},
            "RuntimeStats": whole(dict.fromkeys(figures, COUNT)),
        }
    )
