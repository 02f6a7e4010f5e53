"""Words are looked up in bytes as a dictionary of strings has it, whatever else is remembered."""

import re
import threading
from itertools import chain
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts import words
from prompts.words import LONGEST, MOST_IDS, PROBES, SLOTS, WORDS, Words

PLAIN = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")


def spell(word: str) -> tuple[int, ...]:
    """One to nine ids by a word's hash: now and then more than is remembered."""
    return tuple((crc32(word.encode()) + i) % 65_535 for i in range(1 + min(len(word) - 1, crc32(word.encode()) % 9)))


def plain(text: str) -> list[int]:
    """With a string for each word."""
    return list(chain.from_iterable(map(spell, PLAIN.findall(text))))


KEPT = Words(spell)


@settings(max_examples=300)
@given(st.text(st.characters(max_codepoint=127, exclude_characters="ABCDEFGHIJKLMNOPQRSTUVWXYZ"), max_size=120))
def test_ids_are_those_of_a_dictionary(text: str) -> None:
    for _ in range(2):
        assert KEPT.ids(text).tolist() == plain(text)


def test_long_words_and_words_of_many_ids_are_spelt_each_time() -> None:
    asked = list[str]()

    def told(word: str) -> tuple[int, ...]:
        asked.append(word)
        return (1,) * (MOST_IDS + 1) if word == "ninetimes" else (2,)

    some, long = Words(told), "x" * (LONGEST + 1)
    for _ in range(2):
        assert some.ids(f"{long} ninetimes short").tolist() == [2, *(1,) * (MOST_IDS + 1), 2]
    assert asked == [long, "ninetimes", "short", long, "ninetimes"]
    assert len(some) == 1


def test_when_there_are_too_many_all_are_forgotten_and_found_again() -> None:
    some = Words(spell)
    for start in range(0, WORDS + 2000, 1000):
        text = " ".join(f"w{i}" for i in range(start, start + 1000))
        assert some.ids(text).tolist() == plain(text)
        assert len(some) <= WORDS
    assert len(some) < 3000
    assert some.ids("w0 w1").tolist() == plain("w0 w1")


def test_words_that_fall_on_one_slot_are_told_apart_and_cost_no_more_than_the_probes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever knew the secret start could make them; here the table is made full around one slot."""
    some = Words(spell)
    some._table[0][:] = 0
    some.ids("a")
    assert len(some) == 0
    assert some.ids("a b").tolist() == plain("a b")
    assert PROBES < SLOTS
    monkeypatch.setattr(words.secrets, "randbits", lambda _: 7)
    first, second = Words(spell), Words(spell)
    first.ids("same")
    second.ids("same")
    assert (first._table[0] == second._table[0]).all()


def test_the_start_of_the_hash_is_secret() -> None:
    first, second = Words(spell), Words(spell)
    text = " ".join(f"w{i}" for i in range(50))
    first.ids(text)
    second.ids(text)
    assert (first._table[0] != second._table[0]).any()


def test_a_word_that_another_thread_brings_meanwhile_takes_no_ids_of_this_one() -> None:
    """Long texts are read in threads beside the loop. The other comes here when half of a word's row is written."""
    others = list[threading.Thread]()

    class Halfway(tuple[int, ...]):
        def __len__(self) -> int:
            if not others and some._table[1].any():
                others.append(threading.Thread(target=some.ids, args=("bb",)))
                others[0].start()
                others[0].join(0.3)
            return super().__len__()

    some = Words(lambda word: Halfway((1,)) if word == "a" else (2, 3))
    assert some.ids("a").tolist() == [1]
    others[0].join()
    assert some.ids("a bb").tolist() == [1, 2, 3]
    assert len(some) == 2
