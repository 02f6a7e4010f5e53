"""What a user newly said in a request, and the same text folded so that disguises of one text are one text."""

import re
import unicodedata
from collections.abc import Sequence

LONGEST = 4096
"""Characters that are read: of a longer text, the first three quarters and the last quarter of so many."""

_TAIL = LONGEST // 4
# Combining marks, soft hyphens, joiners, direction marks, variation selectors, tags and lone surrogates.
_UNSEEN = re.compile(
    "[\u00ad\u0300-\u036f\u0483-\u0489\u061c\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u20d0-\u20ff\ud800-\udfff\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\U000e0000-\U000e01ef]+"
)
# Letters of other alphabets that are drawn as Latin ones and stand between Latin ones only in disguise.
_DRAWN_ALIKE = str.maketrans("аеорсухіјѕԁһӏο\N{GREEK SMALL LETTER ALPHA}ιν", "aeopcyxijsdhloaiv")  # noqa: RUF001  that is the point
# What word processors put for ASCII signs: with these replaced, most Latin text is ASCII.
_SIGNS = (
    ("\u2018", "'"),
    ("\u2019", "'"),
    ("\u201c", '"'),
    ("\u201d", '"'),
    ("\u2013", "-"),
    ("\u2014", "-"),
    ("\u00a0", " "),
)
_LAST = frozenset(
    ("please", "pls", "thanks", "you", "thx", "cheers", "regards", "merci", "gracias", "danke", "grazie", "much")
) | {"lot", "advance"}
_ALIKE = re.compile("[\u0370-\u056f]")
_MIXED = re.compile(r"[^\W\d_]*(?:[a-z][а-яіјѕԁһӏ\u03b1-ω]|[а-яіјѕԁһӏ\u03b1-ω][a-z])[^\W\d_]*")  # noqa: RUF001  as above
_QUOTED = re.compile(r"\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|«[^»\n]{1,400}»|`[^`\n]{1,400}`")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
# A capitalised word that does not open a sentence, and those that follow it.
_NAME = re.compile(r"(?<=[a-z0-9,;:] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_GREETING = re.compile(
    r"\s*(?:(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|greetings|hola|bonjour|hallo|ciao)"
    r"(?: (?:there|all|team|everyone|chatgpt|assistant|bot))?[\s,.!:]+)?"
    r"(?:(?:please|pls|kindly|quick question|can you help me|could you help me|i have a question)[\s,.!:?]+)?"
)
_THANKS = re.compile(
    r"[\s,.!?]*\b(?:please|pls|thanks|thank you|thx|cheers|(?:best|kind) regards|merci|gracias|danke|grazie)"
    r"(?: (?:so much|very much|a lot|in advance|you))*[\s,.!?]*$"
)

Turn = tuple[str, str]
"""A role and what it said."""


def newly_said(turns: Sequence[Turn], earlier: str = "") -> str:
    """The text of the last user turn; empty where there is none.

    System prompts, tools and the turns before it are history, which a client repeats in every
    request. `earlier` is the same principal's text before this one: where a client keeps its
    history in one growing string, what it repeats of that is left out too.
    """
    text = next((said for role, said in reversed(turns) if role == "user"), "")
    if earlier and len(text) > len(earlier) and text.startswith(earlier):
        return text[len(earlier) :].lstrip()
    return text


def shortened(text: str) -> str:
    """The text, or the beginning and the end of it where it is longer than LONGEST characters."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - _TAIL]} {text[-_TAIL:]}"


def fold(text: str) -> str:
    """The text in lower case, without accents, marks, invisible characters and compatibility forms.

    Letters of other alphabets that are drawn as Latin ones become those, in words that mix
    alphabets. `fold(fold(text)) == fold(text)`; ASCII is put in lower case and not
    changed otherwise. Never fails, whatever the text is made of.
    """
    if text.isascii():
        return text.lower()
    for sign, plain in _SIGNS:
        text = text.replace(sign, plain)
    if text.isascii():
        return text.lower()
    for _ in range(2):  # lower case can bring forth marks, and compatibility forms upper case
        text = _UNSEEN.sub("", unicodedata.normalize("NFKD", text.lower()))
        if text.isascii():
            return text.lower()
    if not _ALIKE.search(text):
        return unicodedata.normalize("NFC", text)
    text = unicodedata.normalize("NFC", text)
    return _MIXED.sub(lambda word: word[0].translate(_DRAWN_ALIKE), text)


def without_courtesy(folded: str) -> str:
    """A folded text without the greeting that opens it and the thanks that close it, where more is said.

    Many people open and close every message alike: that is a habit, not a template.
    """
    opened = _GREETING.match(folded)
    start = opened.end() if opened else 0
    last = folded[-24:].rstrip(" \t\n\r,.!?").rpartition(" ")[2]
    # Most texts end otherwise, and need no search.
    closed = _THANKS.search(folded, max(start, len(folded) - 60)) if last in _LAST else None
    found = folded[start : closed.start() if closed else len(folded)].strip()
    return found or folded


def mask(text: str) -> str:
    """The text with quoted spans, numbers and names each replaced by one sign, for the search for templates.

    To be called before `fold`: names are told by their capitals.
    """
    return _NAME.sub("@", _NUMBER.sub("0", _QUOTED.sub('""', text)))


def shingles(text: str, length: int = 4) -> frozenset[str]:
    """The runs of so many characters in a folded text, white space as one space; the whole of a shorter one.

    They need no vocabulary: the sketch of short and of non-English texts is made of them.
    """
    plain = " ".join(text.split())
    if len(plain) <= length:
        return frozenset((plain,)) if plain else frozenset()
    return frozenset(map("".join, zip(*(plain[i:] for i in range(length)), strict=False)))
