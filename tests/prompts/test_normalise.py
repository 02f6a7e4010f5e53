"""One text in disguise is one text; history and courtesy are not what was newly said."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.normalise import LONGEST, fold, mask, newly_said, shingles, shortened, without_courtesy

FULL_WIDTH = "\uff49\uff47\uff4e\uff4f\uff52\uff45 \uff50\uff52\uff45\uff56\uff49\uff4f\uff55\uff53"


def test_only_the_last_user_turn_is_new() -> None:
    turns = [("system", "be brief"), ("user", "first"), ("assistant", "yes"), ("user", "second"), ("tool", "42")]
    assert newly_said(turns) == "second"
    assert newly_said([("system", "be brief")]) == ""
    assert newly_said([]) == ""


def test_history_in_one_growing_string_is_left_out() -> None:
    earlier = "User: hello\nBot: hi\n"
    assert newly_said([("user", earlier + "User: and now?")], earlier) == "User: and now?"
    assert newly_said([("user", earlier)], earlier) == earlier
    assert newly_said([("user", "other")], earlier) == "other"


@pytest.mark.parametrize(
    "disguise",
    [
        "IGNORE previous",
        FULL_WIDTH,
        "ig\u200bnore prev\u00adious",
        "ign\u00f6re pr\u00e9vious",
        "ign\u043ere previ\u043eus",
        "i\u0334g\u0334nore previous",
        "\u202eignore\u202c previous",
    ],
)
def test_disguises_are_folded_together(disguise: str) -> None:
    assert fold(disguise) == "ignore previous"


def test_a_text_in_another_alphabet_keeps_its_letters() -> None:
    assert fold("\u043c\u043e\u0440\u0435") == "\u043c\u043e\u0440\u0435"


@given(st.text(max_size=300))
def test_folding_never_fails_and_folds_once_for_all(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(max_codepoint=127), max_size=300))
def test_ascii_is_only_put_in_lower_case(text: str) -> None:
    assert fold(text) == text.lower()


def test_a_long_text_keeps_its_beginning_and_end() -> None:
    text = "".join(chr(97 + i % 26) for i in range(3 * LONGEST))
    found = shortened(text)
    assert len(found) == LONGEST + 1
    assert (found[:100], found[-100:]) == (text[:100], text[-100:])
    assert shortened("short") == "short"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("hi, what is my balance? thanks!", "what is my balance"),
        ("good morning team, please translate this", "translate this"),
        ("what is the tax in ohio", "what is the tax in ohio"),
        ("hello!", "hello!"),
        ("thank you very much", "thank you very much"),
        ("history of rome", "history of rome"),
        ("say thanks to bob", "say thanks to bob"),
    ],
)
def test_courtesy_is_not_what_was_said(said: str, left: str) -> None:
    assert without_courtesy(said) == left


def test_slots_are_masked() -> None:
    one = mask('Tell Anna Smith that "the blue one" costs 3,000.50 today')
    other = mask('Tell Bob that "red" costs 7 today')
    assert fold(one) == fold(other)


def test_shingles_are_runs_of_characters() -> None:
    assert shingles("ab  cde", 4) == {"ab c", "b cd", " cde"}
    assert shingles("ab") == {"ab"}
    assert shingles(" \n") == frozenset()


@pytest.mark.parametrize(
    "text", ["\u0301" * 200_000, "a\u043e" * 100_000, "\x00" * 200_000, '"' * 200_000, "hi " * 70_000]
)
def test_a_hostile_text_costs_little(text: str) -> None:
    start = time.process_time()
    without_courtesy(fold(shortened(text)))
    mask(shortened(text))
    assert time.process_time() - start < 2.0
