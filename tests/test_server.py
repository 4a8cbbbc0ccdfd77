"""The Python interface, and what a peer meets: real sockets on the real loop."""

from __future__ import annotations

import gc
import os
import smtplib
import socket
import threading
from collections.abc import Iterator

import pytest

from smtpmock_cli import Configuration, Server, ServerStartError, ServerStateError, WaitTimeoutError
from smtpmock_cli.errors import ConfigurationError, SmtpMockError
from smtpmock_cli.message import Message
from smtpmock_cli.net.connection import Connection
from smtpmock_cli.smtp.session import Session
from tests.helpers import BODY, ENVELOPE, HELO, PATIENCE, TRANSACTION, Client


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Configuration(multiple_message_receiving=True)) as running:
        yield running


def deliver(server: Server, count: int = 1) -> None:
    for number in range(count):
        with Client(server.port_number) as client:
            client.send(TRANSACTION.replace(b"hi", b"%d" % number) + b"QUIT\r\n")
            client.rest()


def test_messages_are_copies_in_order_of_arrival(server: Server) -> None:
    deliver(server, 3)
    messages = server.messages()
    assert [message.id for message in messages] == [1, 2, 3]
    assert [message.msg_request.split()[1] for message in messages] == [b"0", b"1", b"2"]
    messages.clear()
    assert len(server.messages()) == 3
    assert len(server.messages_and_purge()) == 3
    assert server.messages() == []


def test_a_client_that_has_its_221_finds_its_message(server: Server) -> None:
    for expected in range(1, 50):
        with Client(server.port_number) as client:
            assert client.ask(b"QUIT\r\n").startswith("221")
            assert len(server.messages()) == expected


def test_a_message_knows_its_peers_and_its_time(server: Server) -> None:
    deliver(server)
    message = server.messages()[0]
    assert (message.client_address, message.server_address) == ("127.0.0.1", "127.0.0.1")
    assert message.received_at > 1.7e9


def test_wait_for_messages_returns_as_soon_as_they_are_there(server: Server) -> None:
    sender = threading.Thread(target=deliver, args=(server, 5))
    sender.start()
    assert len(server.wait_for_messages(5, PATIENCE)) == 5
    sender.join()
    assert len(server.wait_for_messages_and_purge(5, PATIENCE)) == 5
    assert server.messages() == []


@pytest.mark.parametrize("wait", ["wait_for_messages", "wait_for_messages_and_purge"])
def test_a_wait_that_runs_out_carries_what_arrived_and_takes_nothing(server: Server, wait: str) -> None:
    deliver(server, 2)
    with pytest.raises(WaitTimeoutError, match=r"2 of 3 messages arrived within 0\.01 s") as caught:
        getattr(server, wait)(3, 0.01)
    assert [message.id for message in caught.value.messages] == [1, 2]
    assert isinstance(caught.value, TimeoutError)
    assert len(server.messages()) == 2


def test_purging_while_messages_arrive_loses_none_and_gives_none_twice(server: Server) -> None:
    senders = [threading.Thread(target=deliver, args=(server, 50)) for _ in range(4)]
    for sender in senders:
        sender.start()
    taken: list[int] = []
    while len(taken) < 200:
        taken += [message.id for message in server.wait_for_messages_and_purge(1, PATIENCE)]
    for sender in senders:
        sender.join()
    assert sorted(taken) == list(range(1, 201))


def test_starting_twice_and_stopping_what_does_not_run_are_errors() -> None:
    server = Server()
    with pytest.raises(ServerStateError, match="not running"):
        server.stop()
    server.start()
    with pytest.raises(ServerStateError, match="running already"):
        server.start()
    server.stop()
    with pytest.raises(ServerStateError, match="not running"):
        server.stop()


def test_a_stopped_server_keeps_its_messages_and_starts_again() -> None:
    server = Server()
    for expected in (1, 2):
        with server:
            deliver(server)
        assert len(server.messages()) == expected


def test_a_server_that_keeps_nothing_says_so() -> None:
    with Server(keep_messages=False) as server:
        deliver(server)
        with pytest.raises(ServerStateError, match="keep no messages"):
            server.messages()


def test_start_reports_a_port_in_use(server: Server) -> None:
    busy = server.port_number
    with pytest.raises(ServerStartError, match=f"Failed to start SMTP mock server on port: {busy}") as caught:
        Server(Configuration(port_number=busy)).start()
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, SmtpMockError)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("port", [-1, 65536, 99999])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::"])
def test_start_reports_a_port_that_cannot_be(host: str, port: int) -> None:
    server = Server(Configuration(host_address=host, port_number=port))
    with pytest.raises(ServerStartError, match=f"port: {port}"):
        server.start()
    with pytest.raises(ServerStateError):
        server.stop()


@pytest.mark.parametrize("host", ["999.1.1.1", "::x", "a\x00b", "ü" * 70])
def test_start_reports_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ServerStartError):
        Server(Configuration(host_address=host)).start()


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [
        ("", ["127.0.0.1"]),
        ("localhost", ["127.0.0.1"]),
        ("127.0.0.2", ["127.0.0.2"]),
        ("0.0.0.0", ["127.0.0.1", "::1"]),
        ("::", ["127.0.0.1", "::1"]),
        ("[::]", ["127.0.0.1", "::1"]),
        ("::1", ["::1"]),
        ("[::1]", ["::1"]),
    ],
)
def test_hosts(host: str, reached_at: list[str]) -> None:
    if "::1" in reached_at and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    if host == "127.0.0.2" and not can_bind(host):
        pytest.skip("this system has only 127.0.0.1 of the loopback network")
    with Server(Configuration(host_address=host)) as server:
        for address in reached_at:
            with Client(server.port_number, address) as client:
                assert client.ask(b"NOOP\r\n") == "250 Ok"
        if host in ("", "localhost") and can_bind("127.0.0.2"):
            with pytest.raises(ConnectionRefusedError):
                Client(server.port_number, "127.0.0.2")


def test_an_ipv4_peer_of_an_ipv6_socket_is_named_as_what_it_is() -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with Server(Configuration(host_address="::")) as server:
        deliver(server)
        message = server.messages()[0]
    assert (message.client_address, message.server_address) == ("127.0.0.1", "127.0.0.1")


def has_ipv6() -> bool:
    return can_bind("::1", socket.AF_INET6)


def can_bind(address: str, family: int = socket.AF_INET) -> bool:
    try:
        with socket.socket(family) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


def test_unknown_and_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no such setting: prot_number"):
        Configuration(prot_number=1)  # type: ignore[call-arg]


def test_pipelined_commands_are_answered_in_order(server: Server) -> None:
    with Client(server.port_number) as client:
        client.send(ENVELOPE + b"DATA\r\n" + BODY + b".\r\nRSET\r\nNOOP\r\nQUIT\r\nNOOP\r\n")
        codes = [line[:3] for line in client.rest().splitlines()]
    assert codes == [b"250", b"250", b"250", b"354", b"250", b"250", b"250", b"221"]


def test_thousands_of_commands_at_once_do_not_keep_others_waiting(server: Server) -> None:
    with Client(server.port_number) as busy, Client(server.port_number) as other:
        sender = threading.Thread(target=busy.send, args=(b"NOOP\r\n" * 20_000 + b"QUIT\r\n",))
        sender.start()
        assert other.ask(b"NOOP\r\n") == "250 Ok"
        assert busy.rest().count(b"250 Ok\r\n") == 20_000
        sender.join()


def test_a_peer_that_does_not_read_is_not_read_from(server: Server) -> None:
    """It gets stuck sending, others do not, and once it reads it misses nothing."""
    with Client(server.port_number) as deaf, Client(server.port_number) as other:
        deaf.sock.settimeout(0.5)
        deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sent = send_until_stuck(deaf.sock, b"NOOP\r\n" * 10_000, 100_000_000)
        assert other.ask(b"NOOP\r\n") == "250 Ok"
        deaf.sock.settimeout(PATIENCE)
        deaf.sock.shutdown(socket.SHUT_WR)
        assert deaf.rest().count(b"250 Ok\r\n") == sent // len(b"NOOP\r\n")


def send_until_stuck(sock: socket.socket, data: bytes, limit: int) -> int:
    """How many bytes went out before one send took longer than the socket's timeout."""
    sent = 0
    while sent < limit:
        try:
            sent += sock.send(data[sent % len(data) :])
        except TimeoutError:
            return sent
    pytest.fail(f"{limit} bytes were taken without a reply being read")


def test_the_last_reply_arrives_though_more_was_sent(server: Server) -> None:
    """A socket closed with unread input would be reset, and the reset can overtake the reply."""
    for _ in range(20):
        with Client(server.port_number) as client:
            client.send(b"QUIT\r\n" + b"x" * 300_000)
            assert client.rest() == b"221 Closing connection\r\n"


def test_a_finished_session_leaves_nothing_for_the_garbage_collector() -> None:
    """A cycle could hold a body of megabytes until the collector's next full run."""

    def held() -> list[object]:
        return [thing for thing in gc.get_objects() if isinstance(thing, (Connection, Message, Session))]

    gc.collect()
    gc.disable()
    try:
        before = held()  # what other tests keep
        with Server(keep_messages=False) as server:
            deliver(server, 10)
        assert [thing for thing in held() if not any(thing is known for known in before)] == []
    finally:
        gc.enable()


def test_a_half_closed_peer_gets_all_its_replies(server: Server) -> None:
    with Client(server.port_number) as client:
        client.send(TRANSACTION)
        assert client.end().endswith(b"250 Received\r\n")
    assert server.wait_for_messages(1, PATIENCE)[0].is_consistent


def test_a_peer_that_resets_leaves_its_message_and_the_server_running(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    with Server(Configuration(log_to_stdout=True, log_server_activity=True)) as logging:
        client = Client(logging.port_number)
        client.ask(HELO)
        client.reset()
        assert logging.wait_for_messages(1, PATIENCE)[0].helo
        deliver(logging)
    output = capfd.readouterr()
    if os.name != "nt":  # where it has words of its own; under Wine, a reset looks like an end
        assert "read: connection reset by peer" in output.err
    assert output.out.count("SMTP session finished") == 2


def test_delays_of_one_session_do_not_hold_up_another() -> None:
    slow_noop = Configuration(response_delay_noop=1)
    with Server(slow_noop) as server, Client(server.port_number) as slow, Client(server.port_number) as quick:
        slow.send(b"NOOP\r\nHELO example.com\r\n")
        for _ in range(100):
            assert quick.ask(HELO) == "250 Received"
        slow.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            slow.sock.recv(1)
        slow.sock.settimeout(PATIENCE)
        assert [slow.read(), slow.read()] == ["250 Ok", "250 Received"]


def test_a_silent_peer_is_closed_after_the_session_timeout(capfd: pytest.CaptureFixture[str]) -> None:
    with Server(Configuration(session_timeout=1, log_to_stdout=True)) as server:
        with Client(server.port_number) as client:
            local = client.sock.getsockname()[1]
            client.send(b"NO")
            assert client.rest() == b""
        assert len(server.wait_for_messages(1, PATIENCE)) == 1
    expected = f"read tcp 127.0.0.1:{server.port_number}->127.0.0.1:{local}: i/o timeout"
    assert expected in capfd.readouterr().err


def test_dripping_bytes_do_not_prolong_the_session_timeout() -> None:
    with Server(Configuration(session_timeout=1)) as server, Client(server.port_number) as client:
        client.sock.settimeout(0.05)
        assert any(closed_after_a_drip(client.sock) for _ in range(200))


def closed_after_a_drip(sock: socket.socket) -> bool:
    """Send a byte, and wait for the socket's timeout for the server to close."""
    try:
        sock.send(b"x")
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_smtplib_sends_several_mails(server: Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.port_number, local_hostname="example.com", timeout=PATIENCE) as client:
        for number in range(3):
            client.sendmail("a@example.com", ["b@example.com"], f"Subject: {number}\r\n\r\n..x\r\n")
            client.rset()
    messages = server.wait_for_messages(3, PATIENCE)
    assert [message.msg_request for message in messages] == [
        b"Subject: %d\r\n\r\n..x\r\n" % number for number in range(3)
    ]
