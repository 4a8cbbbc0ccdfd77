"""What the tests share: recordings, sessions driven by hand, clients and processes.

Every byte test goes through :func:`play`, which feeds the bytes whole, one by one, and cut in two at
every place, and demands the same events each time.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from smtpmock_cli import Configuration
from smtpmock_cli.flags import GoCommand
from smtpmock_cli.message import Message
from smtpmock_cli.sessions import command_table
from smtpmock_cli.settings import Setting
from smtpmock_cli.smtp import events
from smtpmock_cli.smtp.rules import Rules, Script
from smtpmock_cli.smtp.session import Session
from smtpmock_cli.smtp.table import CommandTable
from tests.console import CTRL_BREAK, CTRL_C, is_wine, send_event

ROOT = Path(__file__).parent.parent
PROGRAM = (sys.executable, "-m", "smtpmock_cli")
PATIENCE = 20.0
"""Seconds after which something that should have happened counts as not happening."""

HELO = b"HELO example.com\r\n"
MAIL = b"MAIL FROM:<a@example.com>\r\n"
RCPT = b"RCPT TO:<b@example.com>\r\n"
ENVELOPE = HELO + MAIL + RCPT
BODY = b"Subject: hi\r\n\r\nHello.\r\n"
TRANSACTION = ENVELOPE + b"DATA\r\n" + BODY + b".\r\n"


def recording(name: str) -> Any:
    """One of the recordings of the reference, as parsed JSON."""
    return json.loads((ROOT / "tests/conformance" / name).read_text("utf-8"))


def recorded_bytes(value: str | dict[str, str]) -> bytes:
    """A recorded text as bytes; what was not UTF-8 is recorded in base 64."""
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()


def example(known: Setting) -> tuple[str, Any]:
    """A value that a setting takes, as a flag has it and as Python has it."""
    of_field = {"tls_mode": "implicit", "auth_users": "a:b,c:d", "auth_mechanisms": "PLAIN,LOGIN", "extensions": "A,B"}
    text = of_field.get(known.field) or {bool: "true", int: "1", tuple: "a,b", str: f"299 {known.flag}"}[known.kind]
    values: dict[Any, Any] = {bool: True, int: 1, tuple: tuple(text.split(","))}
    return text, values.get(known.kind, text)


def configuration(flags: Sequence[str]) -> Configuration:
    """The configuration that a command line makes, by the command's own way."""
    made: list[Configuration] = []

    def keep(*, words: list[str], version: bool, ready: bool, **values: Any) -> None:
        assert not words
        assert not version
        assert not ready
        made.append(Configuration(**values))

    GoCommand("smtpmock", keep).main(list(flags), prog_name="smtpmock", standalone_mode=False)
    return made[0]


def record(message: Message) -> dict[str, Any]:
    """A message's record in the recordings' form, every text as bytes."""
    return {name: in_bytes(value) for name, value in message.as_dict().items()}


def in_bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, (list, tuple)):
        return [in_bytes(item) for item in value]
    if isinstance(value, dict):
        return {name: in_bytes(item) for name, item in value.items()} if "b64" not in value else recorded_bytes(value)
    return value


class Played:
    """What a session told, body lines added up however they were cut."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def add(self, event: events.Event) -> None:
        before = self.events[-1] if self.events else None
        if event is events.DECISION_PENDING:  # how many steps a decision takes is not what a session says
            return
        if isinstance(event, events.BodyReceived) and isinstance(before, events.BodyReceived):
            self.events[-1] = events.BodyReceived(before.data + event.data)
        elif isinstance(event, events.TransactionEnded):
            self.events.append(event.message)
        else:
            self.events.append(event)

    @property
    def replies(self) -> list[str]:
        return [event.line for event in self.events if isinstance(event, events.Reply)]

    @property
    def messages(self) -> list[Message]:
        return [event for event in self.events if isinstance(event, Message)]

    @property
    def has_ended(self) -> bool:
        return events.SESSION_ENDED in self.events

    def comparable(self) -> list[Any]:
        return [event.as_dict() if isinstance(event, Message) else event for event in self.events]


def pull(session: Session, into: Played) -> None:
    """Pull events until the session wants more bytes or is over."""
    while True:
        event = session.next_event()
        if isinstance(event, events.NeedData):
            return
        into.add(event)
        if isinstance(event, events.SessionEnded):
            return


def script(settings: Configuration) -> Script | None:
    """The configuration's rules for one session, counting from the start."""
    if not settings.rules:
        return None
    return Rules(settings.rules, settings.seed, lambda: 0.0, lambda _number, _client: 1).script(1, "192.0.2.1")


def play_pieces(
    pieces: Sequence[bytes], settings: Configuration, table: CommandTable | None = None, *, then_end: bool = True
) -> Played:
    """What a session tells when the bytes arrive in these pieces."""
    played = Played()
    feed(Session(table or command_table(settings), script(settings)), pieces, played, then_end=then_end)
    return played


def feed(
    session: Session,
    pieces: Iterable[bytes],
    into: Played,
    pulling: Callable[[Session, Played], None] = pull,
    *,
    then_end: bool = True,
) -> None:
    """Have a session take these pieces, and the end of the input, as long as it goes on."""
    pulling(session, into)
    for piece in pieces:
        if into.has_ended:
            return
        session.receive_data(piece)
        pulling(session, into)
    if then_end and not into.has_ended:
        session.receive_end()
        pulling(session, into)


def play(data: bytes, settings: Configuration | None = None, *, then_end: bool = True) -> Played:
    """What a session tells of the bytes, which must not depend on how they are cut."""
    settings = settings or Configuration()
    # One for all sessions, as a server has it. Not: with a seed, whose challenges go on from session to session.
    table = command_table(settings) if settings.seed is None else None
    whole = play_pieces([data], settings, table, then_end=then_end)
    expected = whole.comparable()
    cuts = [[data[i : i + 1] for i in range(len(data))]]
    cuts += [[data[:i], data[i:]] for i in range(1, len(data))]
    for pieces in cuts:
        cut = play_pieces(pieces, settings, table, then_end=then_end)
        assert cut.comparable() == expected, f"cut as {pieces!r}"
    return whole


class Client:
    """An SMTP client that does what it is told, right or wrong."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, greeted: bool = True) -> None:
        self.sock = socket.create_connection((host, port), PATIENCE)
        self.file = self.sock.makefile("rb")
        if greeted:
            self.read()

    def read_line(self) -> bytes:
        """One reply line; nothing at the connection's end."""
        return self.file.readline()

    def read(self) -> str:
        """One reply line as text, without its end."""
        return self.read_line().decode("utf-8", "surrogateescape").removesuffix("\r\n")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, data: bytes) -> str:
        self.send(data)
        return self.read()

    def envelope(self) -> None:
        """Up to DATA's reply."""
        for line in (HELO, MAIL, RCPT, b"DATA\r\n"):
            self.ask(line)

    def rest(self) -> bytes:
        """All that still comes until the server closes."""
        return self.file.read()

    def end(self) -> bytes:
        """Send no more, and read all that still comes until the server closes."""
        self.sock.shutdown(socket.SHUT_WR)
        return self.rest()

    def meets_reset(self) -> bool:
        """Whether what comes next is a reset, which under Wine looks like an end."""
        try:
            return self.read_line() == b"" and is_wine
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def reset(self) -> None:
        """Close so that the server meets a reset: without any time to linger (RFC 1122 section 4.2.2.13)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def popen(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process whose output goes into pipes with room for what a test leaves unread."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    # Of Linux's own, which hold 64 KB. Windows' hold 4 KB, then the program waits in the middle of a line.
    pipes = {name: roomy_pipe() for name in ("stdout", "stderr") if is_windows and options[name] == subprocess.PIPE}
    try:
        ends: dict[str, Any] = options | {name: writing for name, (_, writing) in pipes.items()}
        process: subprocess.Popen[bytes] = subprocess.Popen(command, cwd=ROOT, **ends)
    finally:
        for _, writing in pipes.values():
            os.close(writing)
    for name, (reading, _) in pipes.items():
        setattr(process, name, os.fdopen(reading, "rb"))
    return process


is_windows = os.name == "nt"


if sys.platform == "win32":
    import _winapi
    import msvcrt

    def roomy_pipe() -> tuple[int, int]:
        """A pipe's ends for reading and writing."""
        reading, writing = _winapi.CreatePipe(None, ROOM)
        return msvcrt.open_osfhandle(reading, 0), msvcrt.open_osfhandle(writing, 0)

else:

    def roomy_pipe() -> tuple[int, int]:
        return os.pipe()


ROOM = 256 * 1024
"""Bytes."""


class Daemon:
    """The program as a process, listening; its log is on unless told otherwise."""

    def __init__(self, *flags: str, program: Sequence[str] = PROGRAM, port: int = 0, **options: Any) -> None:
        self.port = port or free_port()
        self.process = popen([*program, f"-port={self.port}", "-log", *flags], **options)

    def wait_until_listening(self) -> None:
        """Return once the log says so."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.endswith(b"SMTP mock server started on port: %d\n" % self.port), line

    def client(self) -> Client:
        return Client(self.port)

    def signal(self, number: int) -> None:
        """Send it a signal; on Windows, which has none, the event of its console that stands for it."""
        if is_windows:
            send_event(self.process, CTRL_C if number == signal.SIGINT else CTRL_BREAK)
        else:
            self.process.send_signal(number)

    def finish(self) -> tuple[int, list[str], list[str]]:
        """Exit code, and the lines of stdout and stderr that nobody read yet."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, log_texts(out), log_texts(err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def daemon(*flags: str, **options: Any) -> Iterator[Daemon]:
    """A daemon that listens, and is gone afterwards whatever happened."""
    with Daemon(*flags, **options) as running:
        running.wait_until_listening()
        yield running


def log_texts(output: bytes | None) -> list[str]:
    """Log lines without their stamps: ``LEVEL: TEXT``."""
    lines = (output or b"").decode("utf-8", "surrogateescape").splitlines()
    return [f"{level}: {rest.split(' ', 2)[2]}" for level, _, rest in (line.partition(": ") for line in lines)]
