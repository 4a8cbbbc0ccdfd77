from __future__ import annotations

from typing import Any

import pytest

from smtpmock_cli import Configuration, ConfigurationError


def test_an_empty_value_is_the_default() -> None:
    empty: dict[str, Any] = {known.field: type(known.default)() for known in Configuration.SETTINGS}
    assert Configuration(**empty) == Configuration()
    nothing: dict[str, Any] = dict.fromkeys(empty)
    assert Configuration(**nothing) == Configuration()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"port_number": "25"}, "port_number takes a whole number, not '25'"),
        ({"port_number": True}, "port_number takes a whole number, not True"),
        ({"session_timeout": -1}, "session_timeout takes a number from 0 on, not -1"),
        ({"session_timeout": 1.5}, "session_timeout takes a whole number, not 1.5"),
        ({"msg_greeting": b"220"}, "msg_greeting takes a text, not b'220'"),
        ({"log_to_stdout": 1}, "log_to_stdout takes True or False, not 1"),
        ({"not_registered_emails": "a@b.co"}, "not_registered_emails takes a list of texts, not 'a@b.co'"),
        ({"not_registered_emails": [1]}, r"not_registered_emails takes a list of texts, not \[1\]"),
        ({"not_registered_emails": 1}, "not_registered_emails takes a list of texts, not 1"),
        ({"porter": 1, "host": ""}, "no such setting: host, porter"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Configuration(**wrong)
    assert isinstance(caught.value, ValueError)


def test_it_does_not_change() -> None:
    emails = ["a@b.co"]
    settings = Configuration(not_registered_emails=emails)
    emails.append("c@d.co")
    assert settings.not_registered_emails == ("a@b.co",)
    with pytest.raises(AttributeError, match="port_number"):
        settings.port_number = 1  # type: ignore[misc]


def test_it_compares_and_shows_what_was_changed() -> None:
    settings = Configuration(port_number=25, multiple_rcptto=True)
    assert repr(settings) == "Configuration(port_number=25, multiple_rcptto=True)"
    assert settings == Configuration(multiple_rcptto=True, port_number=25) != Configuration()
    assert len({settings, Configuration(port_number=25, multiple_rcptto=True)}) == 1


def test_the_reply_to_a_big_body_names_the_limit_in_force() -> None:
    assert Configuration(msg_size_limit=5).size_exceeded_reply() == "552 Message exceeded max size of 5 bytes"
    assert Configuration(msg_msg_size_is_too_big="552 no").size_exceeded_reply() == "552 no"
