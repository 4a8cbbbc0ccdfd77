"""Many mails are parsed in turns, so that SMTP goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smtpmock_cli import Message, Server
from smtpmock_cli.control.exchange import Answer, Refusal, Response, Waiting, text_response
from smtpmock_cli.control.summaries import A_TURN, Summaries
from tests.control.mails import accepted
from tests.control.web import ask, send_mails

Calls = list[Callable[[], None]]


@pytest.fixture
def soon() -> Calls:
    return []


def mails(count: int) -> list[Message]:
    return [accepted(b"Subject: hi\r\n\r\n", id=number) for number in range(1, count + 1)]


def turns(soon: Calls) -> int:
    """Make the calls until none is left; how many there were."""
    made = 0
    while soon:
        soon.pop()()
        made += 1
    return made


def wait(answer: Answer) -> tuple[list[Response], Callable[[], None]]:
    assert isinstance(answer, Waiting)
    given: list[Response] = []
    return given, answer.start(given.append)


def test_a_few_are_parsed_at_once(soon: Calls) -> None:
    summaries = Summaries(soon.append)
    some = mails(A_TURN - 1)
    ok = text_response("ok")
    assert summaries.before(some, lambda: ok) is ok
    assert summaries.before(some * 10, lambda: ok) is ok
    assert soon == []
    assert summaries.of(some[0]) is summaries.of(some[0])


def test_many_are_parsed_in_turns(soon: Calls) -> None:
    summaries = Summaries(soon.append)
    ok = text_response("ok")
    some = mails(4 * A_TURN)
    given, _ = wait(summaries.before(some, lambda: ok))
    assert given == []
    assert turns(soon) == 4
    assert given == [ok]
    assert summaries.before(some, lambda: ok) is ok


def test_who_has_gone_is_not_parsed_for(soon: Calls) -> None:
    given, give_up = wait(Summaries(soon.append).before(mails(A_TURN * 2), lambda: text_response("ok")))
    soon.pop()()
    give_up()
    assert turns(soon) == 1
    assert given == []


def test_a_refusal_is_an_answer(soon: Calls) -> None:
    def refuse() -> Response:
        raise Refusal(404, "gone meanwhile")

    given, _ = wait(Summaries(soon.append).before(mails(A_TURN), refuse))
    turns(soon)
    assert (given[0].status, given[0].body) == (404, b'{"error": "gone meanwhile"}')


def test_a_search_through_many(server: Server) -> None:
    send_mails(server, 10 * A_TURN)
    assert ask(server, "/api/v1/search?query=subject:hi&limit=0").json["count"] == 10 * A_TURN
    assert ask(server, "/api/v1/message/latest/raw?query=subject:absent").status == 404
    assert ask(server, "/api/v1/search?query=subject:hi", "DELETE").body == b"ok"
    assert server.messages() == []
