"""Templates hit by what they share, by how many other chains, and not by the burst of a moment."""

import numpy as np

from prompts.signals.affixes import NOTHING, TESTS, hits


def told(bits: list[float], chains: list[int], ages: list[int]) -> dict[tuple[int, int, int], bool]:
    """The hit of each test."""
    found = hits(np.array(bits, np.float32), np.array(chains, np.int32), np.array(ages, np.int32))
    return dict(zip(TESTS, found, strict=True))


def plain(bits: list[float], chains: list[int], ages: list[int]) -> dict[tuple[int, int, int], bool]:
    """The same by its definition: the number of other chains that share more than so many bits."""
    rows = list(zip(bits, chains, ages, strict=True))
    return {
        (least, count, lag): len({chain for b, chain, age in rows if b > least and age > lag}) >= count
        for least, count, lag in TESTS
    }


def test_hits_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(10)
    for _ in range(300):
        n = int(rng.integers(0, 64))
        rows = rng.uniform(0, 120, n).tolist(), rng.integers(0, 30, n).tolist(), rng.integers(1, 60, n).tolist()
        assert told(*rows) == plain(*rows)


def test_one_chain_counts_once() -> None:
    assert not any(told([100.0] * 50, [4] * 50, [40] * 50).values())
    assert all(told([101.0] * 50, list(range(50)), [40] * 50).values())


def test_a_burst_hits_nothing_that_looks_back() -> None:
    found = told([100.0] * 11, list(range(11)), list(range(1, 12)))
    assert not any(hit for (_, _, lag), hit in found.items() if lag)
    assert found[60, 3, 0]


def test_nothing_in_common_hits_nothing() -> None:
    empty = np.zeros(0, np.int32)
    assert hits(np.zeros(0, np.float32), empty, empty) == NOTHING
