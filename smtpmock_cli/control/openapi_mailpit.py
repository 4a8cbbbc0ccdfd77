"""The description of the part of Mailpit's API that is served, in Mailpit's own names."""

from __future__ import annotations

from .schema import COUNT, TEXT, TRUTH, Schema, answered, component, in_path, listed, operation, query, whole
from .selection import USUAL_LIMIT

IDS: Schema = {"anyOf": [listed(TEXT), {"type": "null"}]}
DATE: Schema = {"type": "string", "format": "date-time"}


def paths() -> dict[str, Schema]:
    """The paths below ``/api/v1`` and ``/view``."""
    id = in_path("id", TEXT, "a message's ID, or latest")
    part = in_path("part_id", TEXT, "a part's PartID")
    latest = [query("query", TEXT, "which messages latest is of"), query("tz", TEXT, "not looked at")]
    ok = answered("ok", {"const": "ok"}, "text/plain")
    mails = answered("a page of the list", component("MailpitList"))
    mail = answered("the message", component("MailpitMessage"))
    headers = answered("the values of each header field", {"type": "object", "additionalProperties": listed(TEXT)})
    download = query("dl", TEXT, "1 to be offered as a file")
    embed = query("embed", TEXT, "not looked at")
    ids = _body({"IDs": IDS})
    marks = _body({"IDs": IDS, "Read": TRUTH, "Search": TEXT})
    search = [{**query("query", {**TEXT, "minLength": 1}, "as Mailpit has it"), "required": True}]
    page = [
        query("start", {**COUNT, "default": 0, "maximum": 10**9 - 1}, "how many to leave out"),
        query("limit", {**COUNT, "default": USUAL_LIMIT, "maximum": 10**9 - 1}, "how many to list; 0 is all"),
    ]
    message = "/api/v1/message/{id}"
    return {
        "/api/v1/info": {"get": operation("About the server", answered("figures", component("MailpitInfo")))},
        "/api/v1/messages": {
            "get": operation("The accepted mails, newest first", mails, parameters=page),
            "put": operation("Mark mails as read or unread", ok, 413, requestBody=marks, parameters=latest[1:]),
            "delete": operation("Delete mails; without IDs all", ok, 413, requestBody=ids),
        },
        "/api/v1/search": {
            "get": operation("The mails found", mails, parameters=[*search, latest[1], *page]),
            "delete": operation("Delete the mails found", ok, parameters=[*search, latest[1]]),
        },
        message: {"get": operation("One mail", mail, 404, parameters=[id, *latest])},
        f"{message}/headers": {"get": operation("Its header", headers, 404, parameters=[id, *latest])},
        f"{message}/raw": {
            "get": operation("The mail itself", _any("text/plain"), 404, parameters=[id, download, *latest])
        },
        f"{message}/part/{{part_id}}": {
            "get": operation("One part of it, decoded", _any("*/*"), 404, parameters=[id, part, *latest])
        },
        "/view/{id}.html": {
            "get": operation("Its HTML", _any("text/html"), 404, parameters=[id, embed, *latest]),
        },
        "/view/{id}.txt": {"get": operation("Its text", _any("text/plain"), 404, parameters=[id, *latest])},
    }


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
    counts = dict.fromkeys(("total", "unread", "count", "messages_count", "messages_unread", "start"), COUNT)
    checksums = dict.fromkeys(("MD5", "SHA1", "SHA256"), TEXT)
    attachment = dict.fromkeys(("PartID", "FileName", "ContentType", "ContentID"), TEXT)
    figures = ("Uptime", "Memory", "MessagesDeleted", "SMTPAccepted", "SMTPAcceptedSize", "SMTPRejected", "SMTPIgnored")
    return {
        "MailpitMailbox": whole({"Name": TEXT, "Address": TEXT}),
        "MailpitList": whole({**counts, "tags": listed(TEXT), "messages": listed(component("MailpitSummary"))}),
        "MailpitSummary": whole({**envelope, "Created": DATE, "Attachments": COUNT, "Snippet": TEXT}),
        "MailpitMessage": whole(
            {
                **envelope,
                "ReturnPath": TEXT,
                "ListUnsubscribe": whole({"Header": TEXT, "Links": listed(TEXT), "Errors": TEXT, "HeaderPost": TEXT}),
                "Date": DATE,
                "Text": TEXT,
                "HTML": TEXT,
                "Inline": listed(component("MailpitAttachment")),
                "Attachments": listed(component("MailpitAttachment")),
            }
        ),
        "MailpitAttachment": whole({**attachment, "Size": COUNT, "Checksums": whole(checksums)}),
        "MailpitInfo": whole(
            {
                **dict.fromkeys(("Version", "LatestVersion", "Database"), TEXT),
                **dict.fromkeys(("DatabaseSize", "Messages", "Unread"), COUNT),
                "Tags": {"type": "object", "additionalProperties": COUNT},
                "RuntimeStats": whole(dict.fromkeys(figures, COUNT)),
            }
        ),
    }
