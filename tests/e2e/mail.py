"""The mail that every client sends: two bodies, an attachment, and lines that begin with dots."""

from __future__ import annotations

import email
from email.message import EmailMessage
from email.policy import SMTP

SENDER = "sender@example.com"
RECIPIENTS = ["first@example.com", "second@example.org"]

SUBJECT = "Grüße – 日本語"
TEXT = "Grüße.\n.\n..\n.dot\n...three dots\n. \n\n.\nThe end.\n"
HTML = "<p>Grüße</p>\n"
ATTACHMENT = bytes(range(256)) * 16


def _made() -> EmailMessage:
    mail = EmailMessage(SMTP)
    mail["From"], mail["To"], mail["Subject"] = SENDER, ", ".join(RECIPIENTS), SUBJECT
    mail.set_content(TEXT, cte="8bit")  # so that the dots stand where they are a protocol's matter
    mail.add_alternative(HTML, subtype="html")
    mail.add_attachment(ATTACHMENT, maintype="application", subtype="octet-stream", filename="bytes.bin")
    return mail


MAIL = _made()
MAIL_BYTES = MAIL.as_bytes()


def parsed(data: bytes) -> EmailMessage:
    """A mail as the standard library reads it."""
    mail = email.message_from_bytes(data, policy=SMTP)
    assert isinstance(mail, EmailMessage)
    return mail


def check_contents(mail: EmailMessage) -> None:
    """Everything that a reader would see is what was written."""
    assert mail["Subject"] == SUBJECT
    bodies = [mail.get_body([kind]) for kind in ("plain", "html")]
    assert [body and body.get_content().replace("\r\n", "\n") for body in bodies] == [TEXT, HTML]
    assert [part.get_content() for part in mail.iter_attachments()] == [ATTACHMENT]
