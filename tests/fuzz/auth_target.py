"""AUTH: nobody gets in without the password, and nothing that was said to get in is shown.

An input is: mechanisms, first cut, size of the other pieces, and the stream behind EHLO. Who may get in is computed
from the stream's words alone.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterator

from smtpmock_cli import Configuration
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.chance import generator
from tests.fuzz.conversation import Heard, check_conversation, check_in_step, check_message, converse, table
from tests.fuzz.pieces import chosen, cut
from tests.fuzz.seeds import EHLO, STREAMS
from tests.helpers import TRANSACTION

LONGEST = 512
USERS = {b"joe": b"s3cr:et", "zoë".encode(): "pässword".encode()}
SEED = 7
_CHALLENGES = 400

CONFIGURATIONS = tuple(
    Configuration(
        auth_users=[f"{name.decode()}:{password.decode()}" for name, password in USERS.items()], seed=SEED
    ).but(**more)
    for more in (
        {},
        {"auth_mechanisms": ["CRAM-MD5"], "auth_required": True},
        {"auth_mechanisms": ["LOGIN"], "is_cmd_fail_fast": True},
        {"auth_mechanisms": ["PLAIN"], "esmtp": True},
    )
)
_SHOWN = re.compile(r"auth(?: (?:[A-Z0-9-]+(?: \*\*\*)?|\*\*\*))?", re.IGNORECASE).fullmatch


def _cram(name: bytes, challenge: bytes) -> bytes:
    return name + b" " + hmac.new(USERS[name], challenge, "md5").hexdigest().encode()


def _challenges() -> list[bytes]:
    """Those that a server with this seed gives, in order."""
    nonces = generator(SEED, "AUTH")
    return [b"<%d@smtpmock>" % nonces.getrandbits(64) for _ in range(_CHALLENGES)]


def _proofs() -> Iterator[frozenset[bytes]]:
    """For each way in, the responses that it takes."""
    for name, password in USERS.items():
        yield frozenset([b"\0" + name + b"\0" + password])
        yield frozenset([name + b"\0" + name + b"\0" + password])
        yield frozenset([name, password])


_PROOFS = tuple(_proofs())
_DIGESTS = {_cram(name, challenge): challenge for challenge in _challenges() for name in USERS}


def _holds_proof(said: set[bytes]) -> bool:
    """Whether what was said is enough for anybody to get in."""
    return any(proof <= said for proof in _PROOFS) or any(
        response.rpartition(b" ")[0] + b" " + response.rpartition(b" ")[2].lower() in _DIGESTS for response in said
    )


def _decoded(word: bytes) -> bytes:
    try:
        return base64.b64decode(word, validate=True)
    except binascii.Error:
        return b""


def _check_shown(heard: Heard) -> None:
    """AUTH's own line shows its mechanism at the most, and a response nothing."""
    is_response = False
    for event in heard.events:
        if isinstance(event, events.RequestReceived):
            if is_response:
                assert event.line in ("***", "*")
            elif _is_auth(event.line):
                assert _SHOWN(" ".join(event.line.split())), event.line
        elif isinstance(event, events.Reply):
            is_response = event.line.startswith("334")


def _is_auth(line: str) -> bool:
    return [word.lower() for word in line.split()[:1]] == ["auth"]


def check(data: bytes) -> None:
    if len(data) < 3:
        return
    settings = chosen(CONFIGURATIONS, data[0])
    stream = EHLO + data[3:]
    heard = converse(cut(stream, data[1], data[2]), table(settings, stream))
    whole = converse([stream], table(settings, stream))
    assert heard.comparable() == whole.comparable(), "it depends on the cuts"
    check_conversation(heard)
    check_in_step(heard, stream)
    _check_shown(heard)
    got_in = any(reply.startswith("235") for reply in heard.replies)
    said = {_decoded(word) for word in stream.split()}
    assert not got_in or _holds_proof(said)
    for message in heard.messages:
        check_message(message, settings.msg_size_limit)
        assert got_in or not message.auth
        if message.auth_mechanism == "PLAIN" and message.auth_username:
            assert any(word.count(b"\0") > 1 for word in said), "what is shown as the name may be the password"
        assert message.auth or not (message.mailfrom and settings.auth_required)


def _b64(text: bytes) -> bytes:
    return base64.b64encode(text)


_DIALOGUES = tuple(
    dialogue
    for name, password in USERS.items()
    for dialogue in (
        b"AUTH PLAIN " + _b64(b"\0" + name + b"\0" + password) + b"\r\n",
        b"AUTH PLAIN\r\n" + _b64(name + b"\0" + name + b"\0" + password) + b"\r\n",
        b"auth login\r\n" + _b64(name) + b"\r\n" + _b64(password) + b"\r\n",
        b"AUTH LOGIN " + _b64(name) + b"\r\n" + _b64(password) + b"\r\n",
        b"AUTH CRAM-MD5\r\n" + _b64(_cram(name, _challenges()[0])) + b"\r\n",
    )
)
_WRONG_RESPONSES = (
    b"joe\0s3cr:et",
    b"ann\0joe\0s3cr:et",
    b"\0ann\0x",
    b"\0joe\0s3cr:e",
    b"joe",
    b"\0\0",
    b"\xff\0\xff\0",
)
TOKENS = (
    *(b"AUTH ", b"PLAIN", b"LOGIN", b"CRAM-MD5", b"\r\n", b"*\r\n", b"=", b"RSET\r\n", b"HELO a.bc\r\n", b"DATA\r\n"),
    *(_b64(text) for name, password in USERS.items() for text in (name, password, b"\0" + name + b"\0" + password)),
)


def seeds() -> Iterator[bytes]:
    wrong = (
        *(b"AUTH PLAIN " + _b64(said) + b"\r\n" for said in _WRONG_RESPONSES),
        *(b"AUTH PLAIN =\r\n", b"AUTH\r\n", b"AUTH X y\r\n", b"AUTH CRAM-MD5\r\n*\r\n", b"AUTH LOGIN\r\n=\r\n"),
    )
    for number in range(len(CONFIGURATIONS)):
        for place, dialogue in enumerate((*_DIALOGUES, *wrong)):
            yield bytes([number, place, 1 + place % 3]) + dialogue + TRANSACTION + dialogue
        for stream in STREAMS:
            yield bytes([number, 9, 2]) + stream
