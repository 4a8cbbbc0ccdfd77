"""Mails for the tests of what is served of them."""

from __future__ import annotations

import email.message
import email.policy
from collections.abc import Sequence

from smtpmock_cli import Message

ARRIVAL = 1_700_000_000.125
"""Of every mail, in seconds since 1970: 2023-11-14T22:13:20.125+00:00."""


def accepted(
    content: bytes | email.message.EmailMessage,
    *,
    id: int = 1,
    to: Sequence[str] = (),
    sender: str = "sender@example.com",
) -> Message:
    """A message that was accepted with these bytes as its body."""
    message = Message()
    message.id, message.received_at = id, ARRIVAL
    message.client_address = message.server_address = "127.0.0.1"
    message.helo_request, message.helo = "HELO example.com", True
    message.mailfrom, message.reverse_path = True, sender
    message.rcptto, message.forward_paths = True, list(to)
    message.data = message.msg = True
    message.msg_request = content if isinstance(content, bytes) else content.as_bytes(policy=email.policy.SMTP)
    return message


def letter(text: str = "Hello.\n", **fields: str) -> email.message.EmailMessage:
    """A plain mail; ``Reply_To`` stands for ``Reply-To``."""
    mail = email.message.EmailMessage(email.policy.SMTP)
    for name, value in fields.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail
