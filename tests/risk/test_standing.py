"""A standing is a short note, and a note that cannot be read says nothing."""

import pytest

from llmguard.risk.standing import NORMAL, Standing, Standings, note_of, standing_of

HOT = Standing(heat=1.25, at=1_800_000_000.5, strikes=2, pinned="blocked", pinned_until=1_800_003_600.0)


@pytest.mark.parametrize("standing", [HOT, Standing(heat=0.0, at=5.0, strikes=1), Standing(strikes=3)])
def test_it_comes_back_from_its_note(standing: Standing) -> None:
    note = note_of(standing)
    assert note is not None
    assert len(note) < 120
    assert standing_of(note) == standing


def test_a_normal_one_needs_no_note() -> None:
    assert note_of(NORMAL) is None
    assert standing_of(None) is NORMAL


@pytest.mark.parametrize("note", ["", "{", "[]", '{"heat": "hot"}', '{"pinned": "elsewhere"}', "null"])
def test_what_is_no_note_says_nothing(note: str) -> None:
    assert standing_of(note) is NORMAL


def test_what_was_heard_last_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmguard.risk.standing.MOST_KNOWN", 2)
    known = Standings()
    note = note_of(HOT)
    assert known.hear("a", note) == HOT
    assert known.hear("a", note) is known.of("a")
    known.hear("b", note)
    known.hear("c", note)
    assert known.of("a") is NORMAL
    assert known.hear("c", None) is NORMAL
    assert known.of("c") is NORMAL
