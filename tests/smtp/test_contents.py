"""Many texts in one body: each that is there is found, and no other; what has nothing of them costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpmock_cli.smtp import contents, grams
from smtpmock_cli.smtp.contents import Texts
from smtpmock_cli.smtp.decision import STEP
from smtpmock_cli.smtp.grams import SLICE, Grams, common

from .pacing import done, in_steps, slices_looked_at

THOUSANDS = 3000
ALIKE = [
    b"The number of the order is ".ljust(100, b".") + b"%d, which was sent" % number for number in range(THOUSANDS)
]


def found(texts: Sequence[bytes], body: bytes) -> set[bytes]:
    search = Texts(texts).search(body)
    return {text for text in texts if done(search.holds(text))}


def held(texts: Sequence[bytes], body: bytes) -> set[bytes]:
    return {text for text in texts if text in body}


bytes_of_few = st.text("ab\0", max_size=40).map(str.encode)


@settings(max_examples=400)
@given(st.sets(st.text("ab\0", min_size=1, max_size=12).map(str.encode), max_size=40), bytes_of_few)
def test_what_is_found_is_what_is_there(texts: set[bytes], body: bytes) -> None:
    with in_steps():
        assert found([*texts], body) == held([*texts], body)
        assert Texts([*texts]).may_be_in(body) or not held([*texts], body)
    assert found([*texts], body) == held([*texts], body)
    assert Texts([*texts]).may_be_in(body) >= bool(held([*texts], body))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 9, 20, 300])
@pytest.mark.parametrize("least", [1, 4, 8])
def test_wherever_it_is_cut(length: int, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text at each place of a body of several slices; others decide how wide its gram is."""
    monkeypatch.setattr(grams, "SLICE", 16)
    monkeypatch.setattr(contents, "SLICE", 16)
    monkeypatch.setattr(contents, "_FIRST", 0)
    text = (b"%c" * length) % (*(b"abcdefghijklmnop" * 20)[:length],)
    others = [b"%03d" % number + b"x" * least for number in range(200)]
    for at in range(50):
        body = b"." * at + text + b"." * (50 - at)
        assert found([*others, text], body) == {text}
        assert found([*others, text], body.replace(text, text[:-1] + b"!")) == set()


@pytest.mark.parametrize("size", [SLICE - 1, SLICE, SLICE + 1, 3 * SLICE])
def test_at_both_ends_of_slices_as_they_are(size: int) -> None:
    for text in (ALIKE[7], ALIKE[2999]):
        body = b"." * (size - len(text) // 2) + text + b"." * size
        assert found(ALIKE, body) == {text}


@pytest.mark.parametrize(
    "texts",
    [
        ALIKE,
        [text[::-1] for text in ALIKE],
        [b"%d" % number for number in range(THOUSANDS)],
        [bytes([97 + number // 26 % 26, 97 + number % 26, 65 + number // 676]) for number in range(THOUSANDS)],
        [bytes([number]) for number in range(1, 128)] + ALIKE,
        [b"x" * number for number in range(1, 400)],
    ],
    ids=["a long beginning", "a long end", "1 to 4 bytes", "3 bytes", "1 byte", "each begins with all before"],
)
def test_a_body_that_holds_many(texts: list[bytes]) -> None:
    for body in (b"\r\n".join(texts[::2]), b"\r\n".join(text[:-1] for text in texts), b"", texts[5]):
        assert found(texts, body) == held(texts, body)


@pytest.mark.parametrize("texts", [ALIKE, [text[::-1] for text in ALIKE]], ids=["a long beginning", "a long end"])
def test_what_texts_have_in_common_is_not_what_they_are_known_by(texts: list[bytes]) -> None:
    """Near misses all over: hardly one text is looked for."""
    known = Grams(texts)
    for _ in known.prepare():
        pass
    miss = texts[0].replace(b" 0,", b" x,").replace(b",0 ", b",x ").replace(b".0,", b".x,").replace(b",0.", b",x.")
    body = miss * (SLICE // len(miss) - 1)
    assert sum(text in body for text in texts) == 0
    assert len(known.near(body, 0)) <= 2
    assert known.near(body + texts[1234], 0).count(texts[1234]) == 1


def test_a_few_are_looked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that fires ends it all, so that no pass over the body is worth it before."""
    passes = slices_looked_at(monkeypatch)
    body = b"." * SLICE + ALIKE[2]
    search = Texts(ALIKE).search(body)
    assert [done(search.holds(text)) for text in ALIKE[:4]] == [False, False, True, False]
    assert passes == []
    assert [text for text in ALIKE if done(search.holds(text))] == [ALIKE[2]]
    assert passes == [0, SLICE], "one pass finds all others"


def test_a_short_search_costs_more_for_its_length() -> None:
    """The interpreter tries such a text at each place, several bytes each."""
    texts = [b"%c%s" % (first, b"x" * count) for first in b"abcd" for count in range(9, 59)]
    body = (b"x" * 9 + b"." * (SLICE - 9)) * 4
    search = Texts(texts).search(body)
    costs = [cost for text in texts for cost in search.holds(text)]
    assert found(texts, body) == set()
    assert sum(costs) > 2 * len(texts) * len(body)
    assert max(costs) < STEP


def test_few_need_no_pass_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Grams, "near", None)
    assert found(ALIKE[:100], b"".join(ALIKE[:50])) == {*ALIKE[:50]}


def test_one_search_settles_texts_that_begin_alike() -> None:
    texts = Texts(ALIKE)
    assert not texts.may_be_in(b"The number is another, and the body is as long as at once allows" * 1000)
    assert texts.may_be_in(b"." * 1000 + ALIKE[0])
    assert texts.may_be_in(b"." * 10_000_000), "to look takes long"


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_common(first: bytes, second: bytes) -> None:
    length = common(first, second)
    assert first[:length] == second[:length]
    assert first[length : length + 1] != second[length : length + 1] or length == len(first) == len(second)
