"""The window's array answers are those of a plain comparison, one prompt at a time."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts.grams import Hashes
from prompts.prompt import ENDS, KEPT, Said, said
from prompts.window import KIN, MOST_KIN, Window, jaccard

BITS = np.linspace(1, 16, 64).astype(np.float32)


HASHES = Hashes(70_000)


def prompt(ids: list[int]) -> Said:
    """A prompt of these tokens."""
    return said(np.array(ids, np.uint16), HASHES)


def put(window: Window, ids: list[int]) -> None:
    """Add a prompt as the detector does."""
    one = prompt(ids)
    window.add(one, window.join(one))


def plain_jaccard(first: set[int], second: set[int]) -> float:
    """|A and B| / |A or B|."""
    return len(first & second) / len(first | second) if first | second else 1.0


def shared_bits(first: list[int], second: list[int]) -> float:
    """Bits of the common head and of the common tail that does not overlap it."""
    limit = min(len(first), len(second))
    head = 0
    while head < min(limit, ENDS) and first[head] == second[head]:
        head += 1
    tail = 0
    while tail < min(limit - head, ENDS) and first[-1 - tail] == second[-1 - tail]:
        tail += 1
    return float(BITS[first[:head]].sum() + BITS[first[len(first) - tail :]].sum())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=70), min_size=2, max_size=12, unique_by=tuple))
def test_affixes_are_those_of_a_plain_comparison(prompts: list[list[int]]) -> None:
    window = Window(100, HASHES)
    *kept, new = prompts
    for ids in kept:
        put(window, ids)
    bits, _, ages = window.affixes(prompt(new), BITS, 0, 100)
    found = {len(kept) - int(age): float(b) for b, age in zip(bits, ages, strict=True)}
    for place, ids in enumerate(kept):
        expected = shared_bits(new, ids)
        if place in found:
            assert found[place] == pytest.approx(expected, rel=1e-5)
        else:
            # Left out for sharing no two tokens at the ends.
            assert expected <= 2 * BITS[3]
            assert new[:2] != ids[:2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, KEPT + 2 * ENDS), min_size=1, max_size=40),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
def test_tokens_of_any_length_stay_whole_while_others_come_and_go(
    lengths: list[int], capacity: int, source: Random
) -> None:
    window, prompts = Window(capacity, HASHES), []
    for number, length in enumerate(lengths):
        ids = [number, *source.choices(range(40), k=length)]
        prompts.append(ids)
        put(window, ids)
        kept = prompts[-capacity:]
        assert [one.tolist() for one in window.latest(capacity)] == [one[:KEPT] for one in kept]
        new = [63, 62, *source.choices(range(40), k=5), *source.choice(kept)[-ENDS - 3 :]]
        bits, _, ages = window.affixes(prompt(new), BITS, 0, 100)
        found = {int(age): float(told) for told, age in zip(bits, ages, strict=True)}
        for age, ids in enumerate(reversed(kept), 1):
            assert found.get(age, 0.0) == pytest.approx(shared_bits(new, ids) if ids[-2:] == new[-2:] else 0, rel=1e-5)


def test_only_those_that_share_the_most_are_told() -> None:
    window = Window(100, HASHES)
    for length in range(2, 30):
        put(window, [*range(length), 60, 40 + length % 20, length])
    bits, _, _ = window.affixes(prompt([*range(31), 50]), BITS, 0, 5)
    assert len(bits) == 5
    assert bits.min() >= float(BITS[:25].sum()) - 1e-3


def test_the_oldest_prompt_goes() -> None:
    window = Window(20, HASHES)
    prompts = [[i, i + 1, i + 2, 40 + i % 20] for i in range(50)]
    for ids in prompts:
        put(window, ids)
    assert len(window) == 20
    assert window.seen == 50
    assert not window.holds(prompt(prompts[29]).digest)
    assert window.holds(prompt(prompts[30]).digest)
    assert [ids.tolist() for ids in window.latest(99)] == prompts[30:]
    assert [ids.tolist() for ids in window.latest(2)] == prompts[48:]
    bits, _, ages = window.affixes(prompt(prompts[0]), BITS, 0, 99)
    assert len(bits) == 0
    _, _, ages = window.affixes(prompt(prompts[30]), BITS, 0, 99)
    assert ages.tolist() == [20]


def test_edits_join_one_chain_and_others_do_not() -> None:
    window = Window(100, HASHES)
    base = list(range(20))
    first = window.join(prompt(base))
    assert (first.place, first.chain.index) == (1, 0)
    put(window, base)
    put(window, [*base[:-1], 50])
    found = window.join(prompt([*base[:-1], 51]))
    assert (found.chain.index, found.place) == (0, 3)
    assert found.to_head == pytest.approx(19 / 21)
    assert found.to_previous == pytest.approx(19 / 21)
    assert window.join(prompt(list(range(30, 50)))).place == 1


def test_a_chain_is_left_behind_after_the_look_back_and_kin_are_not() -> None:
    window = Window(100, HASHES)
    put(window, list(range(20)))
    for i in range(8):
        put(window, [30 + i, 40 + i, 50 + i])
    found = window.join(prompt(list(range(20))))
    assert (found.place, found.kin) == (1, (1.0,))


def test_a_chain_that_is_named_is_gone_on_with_however_far_back_it_is() -> None:
    window = Window(100, HASHES)
    base = list(range(20))
    joined = window.join(prompt(base))
    window.add(prompt(base), joined)
    for i in range(8):
        put(window, [30 + i, 40 + i, 50 + i])
    edit = prompt([*base[:-1], 51])
    found = window.follow(edit, joined.chain)
    assert (found.place, found.to_head, found.to_previous, found.kin) == (2, 19 / 21, 19 / 21, ())
    window.add(edit, found)
    assert window.join(prompt([*base[:-1], 52])).place == 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 600), min_size=1, max_size=40), min_size=2, max_size=40, unique_by=tuple))
def test_kin_are_those_of_a_plain_comparison(prompts: list[list[int]]) -> None:
    """Ids that fall on one bit of the outline included: 0 and 256."""
    window = Window(30, HASHES)
    *kept, new = [*prompts, [*prompts[0][1:], 601]]
    for ids in kept:
        put(window, ids)
    similar = [plain_jaccard(set(new), set(ids)) for ids in reversed(kept[-30:])]
    expected = [similarity for similarity in similar if similarity >= KIN]
    if len(expected) <= MOST_KIN:
        assert list(window.join(prompt(new)).kin) == pytest.approx(expected)


def test_the_latest_kin_are_told_where_there_are_many() -> None:
    window = Window(100, HASHES)
    for i in range(40):
        put(window, [*range(20), 100 + i])
    found = window.join(prompt([*range(20), 139, 500]))
    assert len(found.kin) == MOST_KIN
    assert found.kin[0] == pytest.approx(21 / 22)


def test_a_star_is_told_from_a_path() -> None:
    star, path = Window(100, HASHES), Window(100, HASHES)
    seed = list(range(30))
    last = seed
    told = []
    for i in range(6):
        edit = [*seed[:i], 40 + i, *seed[i + 1 :]]
        told.append(star.join(prompt(edit)).star)
        put(star, edit)
        last = [*last[:i], 40 + i, *last[i + 1 :]]
        assert path.join(prompt(last)).star == 0
        put(path, last)
    # All edits of one seed are equally alike: none is *more* alike than the one before.
    assert told == [0] * 6
    put(star, [*seed[:20], *range(50, 60)])
    assert star.join(prompt([*seed[:29], 49])).star > 3


@given(st.lists(st.integers(0, 65_535), max_size=30), st.lists(st.integers(0, 65_535), max_size=30), st.integers(1, 5))
def test_jaccard_is_that_of_sets(first: list[int], second: list[int], few: int) -> None:
    """Tokens that come twice, that are in both, and of both ends of the vocabulary."""
    both = [token % few * 13_107 for token in first], [token % few * 13_107 for token in second]
    for a, b in ((first, second), both):
        assert jaccard(np.array(a, np.uint16), np.array(b, np.uint16)) == plain_jaccard(set(a), set(b))
