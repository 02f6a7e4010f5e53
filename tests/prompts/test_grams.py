"""Pairs are known and runs counted as a plain count has it, within the bounds of memory and of chance."""

from collections import Counter

import numpy as np
import pytest

from prompts.grams import FULL, RUN, SEGMENTS, Grams, Hashes, Ids
from prompts.signals import spans

HASHES = Hashes(30_000)


def put(grams: Grams, ids: Ids) -> None:
    """Put in a prompt."""
    hashes = HASHES.of(ids)
    grams.put(hashes[: len(ids) - 1], hashes[len(ids) - 1 :])


def runs(ids: Ids) -> list[tuple[int, ...]]:
    """A prompt's runs."""
    return [tuple(ids[i : i + RUN].tolist()) for i in range(len(ids) - RUN + 1)]


def test_counts_are_those_of_a_plain_count() -> None:
    rng = np.random.default_rng(8)
    grams = Grams(HASHES, 1000)
    kept = [rng.integers(0, 4, int(rng.integers(1, 30))).astype(np.uint16) for _ in range(80)]
    for ids in kept:
        put(grams, ids)
    plain = Counter(run for ids in kept for run in set(runs(ids)))
    wrong = asked = 0
    for ids in kept:
        counts = grams.counts(HASHES.of(ids)[len(ids) - 1 :]).tolist()
        expected = [plain[run] for run in runs(ids)]
        assert all(count >= least for count, least in zip(counts, expected, strict=True))
        wrong += sum(count > least for count, least in zip(counts, expected, strict=True))
        asked += len(expected)
    # 256 runs at most, in segments of 1,024 cells and more.
    assert wrong < 0.3 * asked


def test_what_was_put_in_is_known_and_little_else_is() -> None:
    rng = np.random.default_rng(9)
    grams = Grams(HASHES, 1000)
    kept = [rng.integers(0, 30_000, 60).astype(np.uint16) for _ in range(900)]
    for ids in kept:
        put(grams, ids)
    assert all(grams.any_known(HASHES.of(ids)[:1]) for ids in kept[-500:])
    fresh = HASHES.of(rng.integers(0, 30_000, 5000).astype(np.uint16))[:4999]
    known = sum(grams.any_known(fresh[i : i + 1]) for i in range(len(fresh)))
    # One in a thousand for each of the segments; 5 standard deviations.
    assert known < SEGMENTS * 5 + 5 * (SEGMENTS * 5) ** 0.5


def test_chance_raises_no_count_to_what_a_template_needs() -> None:
    rng = np.random.default_rng(10)
    grams = Grams(HASHES, 1000)
    for _ in range(1000):
        put(grams, rng.integers(0, 30_000, 190).astype(np.uint16))
    fresh = HASHES.of(rng.integers(0, 30_000, 20_000).astype(np.uint16))[19_999:]
    assert (grams.counts(fresh) >= 6).mean() < 1e-3


def test_the_memory_is_bounded_and_the_oldest_go() -> None:
    rng = np.random.default_rng(11)
    grams = Grams(HASHES, 100)
    first = rng.integers(0, 30_000, 60).astype(np.uint16)
    for _ in range(20):
        put(grams, first)
    sizes = []
    for _ in range(1000):
        put(grams, rng.integers(0, 30_000, 60).astype(np.uint16))
        sizes.append(grams.size)
    assert max(sizes) == max(sizes[:200])
    assert max(sizes) / 100 < 2000
    assert grams.counts(HASHES.of(first)[59:]).max() < 6


def test_a_small_principal_takes_little() -> None:
    grams = Grams(HASHES, 1000)
    put(grams, np.arange(60, dtype=np.uint16))
    assert grams.size <= 2048


def test_a_full_cell_stays_full() -> None:
    grams, ids = Grams(HASHES, 1000), np.array([1, 2, 3, 4], np.uint16)
    for _ in range(FULL + 9):
        put(grams, ids)
    assert grams.counts(HASHES.of(ids)[3:]).tolist() == [FULL]
    # One cell alone: what it cannot hold is not carried into the one beside it.
    fresh = np.random.default_rng(3).integers(0, 2**64, 200_000, np.uint64)
    assert 0.5 / 1024 < (grams.counts(fresh) > 0).mean() < 1.5 / 1024


def test_a_cell_counts_as_far_as_any_test_asks() -> None:
    assert max(chains for _, chains in spans.TESTS) <= FULL


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4])
def test_short_prompts_have_the_pairs_and_runs_that_they_have(length: int) -> None:
    assert len(HASHES.of(np.arange(length, dtype=np.uint16))) == max(length - 1, 0) + max(length - 3, 0)


def test_hashes_are_spread_evenly() -> None:
    rng = np.random.default_rng(9)
    hashes = np.concatenate([HASHES.of(rng.integers(0, 30_000, 60).astype(np.uint16)) for _ in range(1000)])
    for bits in (hashes >> np.uint64(52), hashes & np.uint64(0xFFF)):
        counts = np.bincount(bits.astype(np.int64), minlength=1 << 12)
        # Poisson: the variance is the mean; the ratio's standard error is √(2/4095).
        assert counts.var() / counts.mean() == pytest.approx(1, abs=5 * (2 / 4095) ** 0.5)
