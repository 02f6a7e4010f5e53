"""Text as a tokenizer should see it before detection: look-alikes and invisible characters undone. Pure."""

import re
import unicodedata
from collections.abc import Mapping

from confusable_homoglyphs.confusables import confusables_data

WORD = re.compile(r"[^\W\d_]+")
SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors: invisible, but no format characters."""

DOUBLED = re.compile(r"(?<=\S)[ \t]{2,}(?=\S)")
"""White space within a line that is wider than a model writes it; what begins a line is left to code."""


class Normaliser:
    """Holds the table of look-alikes (Unicode's confusables) that stand for one ASCII letter each."""

    def __init__(self) -> None:
        self._letters = str.maketrans(dict(_look_alikes()))

    def __call__(self, text: str) -> str:
        """The text in NFKC, without format characters and variation selectors, its look-alikes as letters.

        Between words of a line one space is left.

        A word is rewritten only where all of it becomes ASCII and most letters around are: Greek and
        Cyrillic text stays what it is. Doing it twice changes nothing more.
        """
        plain = SELECTORS.sub("", unicodedata.normalize("NFKC", text))
        if not plain.isascii():
            plain = "".join(letter for letter in plain if letter.isascii() or unicodedata.category(letter) != "Cf")
            # What was kept apart by an invisible character may compose now.
            plain = unicodedata.normalize("NFKC", plain)
        plain = DOUBLED.sub(" ", plain)
        if plain.isascii() or not _mostly_ascii(plain):
            return plain
        # A mark that follows a rewritten letter may compose with it.
        return unicodedata.normalize("NFKC", WORD.sub(self._word, plain))

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        rewritten = word if word.isascii() else word.translate(self._letters)
        return rewritten if rewritten.isascii() else word


def _look_alikes() -> Mapping[str, str]:
    """Each letter beyond Latin with the ASCII letter it looks like, of its own case where there is one."""
    found: dict[str, str] = {}
    for letter, others in confusables_data.items():
        if len(letter) != 1 or letter.isascii() or not letter.isalpha() or "LATIN" in unicodedata.name(letter, ""):
            continue
        alike = [
            other["c"] for other in others if len(other["c"]) == 1 and other["c"].isascii() and other["c"].isalpha()
        ]
        alike.sort(key=lambda other: (other.isupper() != letter.isupper(), other))
        if alike:
            found[letter] = alike[0]
    return found


def _mostly_ascii(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    # Of ASCII and letters, counted without keeping a letter of a long text.
    return sum(letter.isascii() and letter.isalpha() for letter in text) * 2 > letters
