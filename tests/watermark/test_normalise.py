import pytest
from hypothesis import given
from hypothesis import strategies as st

from watermark.normalise import DOUBLED, Normaliser

NORMALISE = Normaliser()
SENTENCE = "The quick brown fox pays a scary copy."


@pytest.mark.parametrize(
    "attacked",
    [
        SENTENCE.replace("a", "\u0430").replace("o", "\u043e").replace("c", "\u0441").replace("e", "\u0435"),
        "\u200b".join(SENTENCE),
        SENTENCE.replace(" ", "\u00a0"),
        SENTENCE.replace("o", "o\ufe0f\u2060"),
        SENTENCE.replace(" ", "  "),
        SENTENCE.replace(" ", " \t\u2003"),
        "".join(chr(ord(letter) + 0xFEE0) if letter.isalpha() else letter for letter in SENTENCE),
    ],
    ids=["cyrillic", "zero width", "no-break space", "selectors", "two spaces", "tabs", "full width"],
)
def test_attacks_are_undone(attacked: str):
    assert attacked != SENTENCE
    assert NORMALISE(attacked) == SENTENCE


@pytest.mark.parametrize(
    "text", ["Привет, как дела сегодня?", "Καλημέρα κόσμε", "He said привет to them all.", "naïve café"]
)
def test_other_scripts_stay(text: str):
    assert NORMALISE(text) == text


@given(st.text())
def test_ascii_stays_and_twice_is_once(text: str):
    once = NORMALISE(text)
    assert NORMALISE(once) == once
    if text.isascii() and not DOUBLED.search(text):
        assert once == text


def test_lines_and_their_beginnings_stay():
    text = "def f():\n    return 1\n\n\n  - one\n"
    assert NORMALISE(text) == text
