from __future__ import annotations

import os

import click
import pytest

from smtpmock_cli import Configuration
from smtpmock_cli.flags import quote
from smtpmock_cli.settings import RULES, Setting
from tests.helpers import configuration, example


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("0", 0), ("7", 7), ("+5", 5), ("0x1F", 31), ("0XfF", 255), ("0b101", 5), ("0B1", 1), ("0o17", 15)],
        *[("017", 15), ("00", 0), ("1_000", 1000), ("0x_1_F", 31), ("0_7", 7), ("9223372036854775807", 2**63 - 1)],
    ],
)
def test_integers(text: str, number: int) -> None:
    expected = number or Configuration().msg_size_limit
    assert configuration([f"-msgSizeLimit={text}"]).msg_size_limit == expected


@pytest.mark.parametrize(
    "text",
    [
        *["", "-", "+", "a", "1a", "1.5", " 1", "1 ", "08", "0x", "0b2", "0o8", "_1", "1_", "1__0", "0x1__0"],
        *["٣", "1e3", "--1", "0_x1", "\u202f1"],
    ],
)
def test_what_is_no_integer(text: str) -> None:
    with pytest.raises(click.UsageError, match="for flag -msgSizeLimit: parse error"):
        configuration([f"-msgSizeLimit={text}"])


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "0x8000000000000000"])
def test_integers_out_of_range(text: str) -> None:
    with pytest.raises(click.UsageError, match="for flag -msgSizeLimit: value out of range"):
        configuration([f"-msgSizeLimit={text}"])


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true(text: str) -> None:
    assert configuration([f"-failFast={text}"]).is_cmd_fail_fast


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_false(text: str) -> None:
    assert not configuration(["-failFast", f"-failFast={text}"]).is_cmd_fail_fast


def test_forms_of_one_flag() -> None:
    made = [configuration(form) for form in (["-port=1"], ["-port", "1"], ["--port=1"], ["--port", "1"])]
    assert {settings.port_number for settings in made} == {1}


def test_last_of_a_repeated_flag_wins() -> None:
    assert configuration(["-port=1", "-port=2", "-msgGreeting=a", "-msgGreeting="]) == Configuration(port_number=2)


def test_log_sets_both_fields() -> None:
    assert configuration(["-log"]) == Configuration(log_to_stdout=True, log_server_activity=True)
    assert configuration(["-log=false"]) == Configuration()


def test_lists_are_split_at_commas_and_nothing_else() -> None:
    made = configuration(["-notRegisteredEmails=a@b.co, c@d.co,", "-blacklistedHeloDomains="])
    assert made.not_registered_emails == ("a@b.co", " c@d.co", "")
    assert made.blacklisted_helo_domains == ()


@pytest.mark.parametrize("value", ["-A", "SIZE,", "SIZE,A_B"])
def test_a_list_of_what_it_does_not_take(value: str) -> None:
    with pytest.raises(
        click.UsageError, match=f'invalid value "{value}" for flag -extensions: takes keywords of ESMTP'
    ):
        configuration([f"-extensions={value}"])


def test_a_value_may_look_like_a_flag_or_hold_an_equals_sign() -> None:
    assert configuration(["-msgGreeting", "-v"]).msg_greeting == "-v"
    assert configuration(["-msgGreeting=a=b"]).msg_greeting == "a=b"
    assert configuration(["-msgGreeting", "--"]).msg_greeting == "--"


@pytest.mark.parametrize("known", Configuration.SETTINGS, ids=lambda known: known.field)
def test_every_field_can_be_set_by_its_flag(known: Setting) -> None:
    if known.kind is RULES:
        pytest.skip("its value is a file: tests/test_rule.py")
    text, value = example(known)
    needed = ["-tlsCert=cert.pem"] if known.field in ("tls_key", "tls_mode") else []
    assert getattr(configuration([*needed, f"-{known.flag}={text}"]), known.field) == value


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a", '"a"'),
        ('"\\', '"\\"\\\\"'),
        ("\n\x00\x7f", '"\\n\\x00\\x7f"'),
        # The byte that is not UTF-8; on Windows, where arguments are UTF-16, half of a character.
        ("é\u2028\udcff", '"é\\u2028\\xed\\xb3\\xbf"' if os.name == "nt" else '"é\\u2028\\xff"'),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    assert quote(text) == quoted
