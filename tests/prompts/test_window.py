"""The window's array answers are those of a plain comparison, one prompt at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts.window import ENDS, Window, ends, jaccard

BITS = np.linspace(1, 16, 64).astype(np.float32)


def put(window: Window, ids: list[int]) -> tuple[bytes, bool] | None:
    """Add a prompt as the detector does."""
    words = frozenset(ids)
    array = np.array(ids, np.uint16)
    return window.add(ends(ids), array.tobytes(), hash(tuple(ids)), words, window.join(words))


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
    window = Window(100, 0)
    *kept, new = prompts
    for ids in kept:
        put(window, ids)
    bits, _, ages = window.affixes(ends(new), BITS, 100)
    found = {len(kept) - int(age): float(b) for b, age in zip(bits, ages, strict=True)}
    for place, ids in enumerate(kept):
        expected = shared_bits(new, ids)
        if place in found:
            assert found[place] == pytest.approx(expected, rel=1e-5)
        else:
            # Left out for sharing no two tokens at the ends.
            assert expected <= 2 * BITS[3]
            assert new[:2] != ids[:2]


def test_only_those_that_share_the_most_are_told() -> None:
    window = Window(100, 0)
    for length in range(2, 30):
        put(window, [*range(length), 60, 40 + length % 20, length])
    bits, _, _ = window.affixes(ends([*range(31), 50]), BITS, 5)
    assert len(bits) == 5
    assert bits.min() >= float(BITS[:25].sum()) - 1e-3


def test_the_oldest_prompt_goes_and_its_tokens_are_given_back() -> None:
    window = Window(20, 0)
    prompts = [[i, i + 1, i + 2, 40 + i % 20] for i in range(50)]
    gone = [put(window, ids) for ids in prompts]
    assert gone[:20] == [None] * 20
    assert [np.frombuffer(one[0], np.uint16).tolist() for one in gone[20:] if one] == prompts[:30]
    assert len(window) == 20
    assert window.seen == 50
    assert not window.holds(hash(tuple(prompts[29])))
    assert window.holds(hash(tuple(prompts[30])))
    assert [np.frombuffer(tokens, np.uint16).tolist() for tokens, _ in window.drain()] == prompts[30:]
    bits, _, ages = window.affixes(ends(prompts[0]), BITS, 99)
    assert len(bits) == 0
    _, _, ages = window.affixes(ends(prompts[30]), BITS, 99)
    assert ages.tolist() == [20]


def test_edits_join_one_chain_and_others_do_not() -> None:
    window = Window(100, 0)
    base = list(range(20))
    first = window.join(frozenset(base))
    assert (first.place, first.chain.index) == (1, 0)
    put(window, base)
    put(window, [*base[:-1], 50])
    found = window.join(frozenset([*base[:-1], 51]))
    assert (found.chain.index, found.place) == (0, 3)
    assert found.to_head == pytest.approx(19 / 21)
    assert found.to_previous == pytest.approx(19 / 21)
    assert window.join(frozenset(range(30, 50))).place == 1


def test_a_chain_is_left_behind_after_the_look_back() -> None:
    window = Window(100, 0)
    put(window, list(range(20)))
    for i in range(8):
        put(window, [30 + i, 40 + i, 50 + i])
    assert window.join(frozenset(range(20))).place == 1


def test_a_star_is_told_from_a_path() -> None:
    star, path = Window(100, 0), Window(100, 0)
    seed = list(range(30))
    last = seed
    told = []
    for i in range(6):
        edit = [*seed[:i], 40 + i, *seed[i + 1 :]]
        told.append(star.join(frozenset(edit)).star)
        put(star, edit)
        last = [*last[:i], 40 + i, *last[i + 1 :]]
        assert path.join(frozenset(last)).star == 0
        put(path, last)
    # All edits of one seed are equally alike: none is *more* alike than the one before.
    assert told == [0] * 6
    put(star, [*seed[:20], *range(50, 60)])
    assert star.join(frozenset([*seed[:29], 49])).star > 3


def test_jaccard() -> None:
    assert jaccard(frozenset({1, 2, 3}), frozenset({2, 3, 4})) == 0.5
    assert jaccard(frozenset(), frozenset()) == 1.0
