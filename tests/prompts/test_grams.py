"""Counts of pairs and runs, against a plain count."""

from collections import Counter

import numpy as np
import pytest

from prompts.grams import FULL, RUN, Grams

VOCABULARY = 500


def plain(prompts: list[np.ndarray[tuple[int], np.dtype[np.uint16]]], width: int) -> Counter[tuple[int, ...]]:
    """How many prompts hold each run of a width."""
    found: Counter[tuple[int, ...]] = Counter()
    for ids in prompts:
        found.update({tuple(ids[i : i + width].tolist()) for i in range(len(ids) - width + 1)})
    return found


def test_counts_are_those_of_a_plain_count_whatever_was_removed() -> None:
    rng = np.random.default_rng(8)
    grams = Grams(1 << 22, VOCABULARY)
    kept = [rng.integers(0, 4, int(rng.integers(1, 30))).astype(np.uint16) for _ in range(80)]
    for ids in kept:
        cells = grams.cells(grams.mixed(ids), 77)
        grams.add(cells, grams.counts(cells))
    for ids in kept[:30]:
        grams.remove(grams.cells(grams.mixed(ids), 77))
    pairs, runs = plain(kept[30:], 2), plain(kept[30:], RUN)
    for ids in kept:
        counts = grams.counts(grams.cells(grams.mixed(ids), 77)).tolist()
        n = len(ids)
        expected = [pairs[tuple(ids[i : i + 2].tolist())] for i in range(n - 1)]
        expected += [runs[tuple(ids[i : i + RUN].tolist())] for i in range(n - RUN + 1)]
        assert counts == expected


def test_principals_are_told_apart() -> None:
    grams = Grams(1 << 18, VOCABULARY)
    ids = np.arange(40, dtype=np.uint16)
    cells = grams.cells(grams.mixed(ids), 1)
    grams.add(cells, grams.counts(cells))
    assert grams.counts(grams.cells(grams.mixed(ids), 1)).all()
    assert not grams.counts(grams.cells(grams.mixed(ids), 2)).any()
    assert not grams.counts(grams.words(ids, 1)).any()


def test_a_full_cell_stays_full() -> None:
    grams = Grams(1 << 10, VOCABULARY)
    cells = grams.cells(grams.mixed(np.array([1, 2], np.uint16)), 0)
    for _ in range(FULL + 9):
        grams.add(cells, grams.counts(cells))
    grams.remove(cells)
    assert grams.counts(cells).tolist() == [FULL]


def test_an_empty_cell_stays_empty() -> None:
    grams = Grams(1 << 10, VOCABULARY)
    cells = grams.cells(grams.mixed(np.array([1, 2], np.uint16)), 0)
    grams.remove(cells)
    assert grams.counts(cells).tolist() == [0]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_short_prompts_have_the_pairs_and_runs_that_they_have(length: int) -> None:
    mixed = Grams(1 << 10, VOCABULARY).mixed(np.arange(length, dtype=np.uint16))
    assert len(mixed) == max(length - 1, 0) + max(length - 3, 0)


@pytest.mark.parametrize("cells", [0, 1, 3, 1000])
def test_a_size_that_is_no_power_of_two_is_refused(cells: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Grams(cells, VOCABULARY)


def test_cells_are_spread_evenly() -> None:
    grams = Grams(1 << 12, 30_000)
    rng = np.random.default_rng(9)
    cells = np.concatenate(
        [grams.cells(grams.mixed(rng.integers(0, 30_000, 60).astype(np.uint16)), 5) for _ in range(1000)]
    )
    counts = np.bincount(cells, minlength=1 << 12)
    # Poisson: the variance is the mean; the ratio's standard error is √(2/4095).
    assert counts.var() / counts.mean() == pytest.approx(1, abs=5 * (2 / 4095) ** 0.5)
