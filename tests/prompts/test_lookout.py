"""Near-duplicates are found among a principal's own and others' prompts, within a bounded window."""

import numpy as np
import pytest

from prompts.calibration import channels
from prompts.evidence import Channels
from prompts.fingerprint import hashed
from prompts.lookout import BATCH, Lookout
from prompts.prompt import Said
from prompts.scorer import Scorer
from prompts.signals.near_duplicates import CLOSE
from similarity.index import codes
from tests.prompts.vocabulary import tokens

TOKENS = tokens()
EMBEDDING = hashed(TOKENS.bits)
SCORER = Scorer(TOKENS, Channels(channels()))


def words(start: int, count: int = 30) -> Said:
    """A prompt of that many words from one on."""
    found = SCORER.read(" ".join(f"word{i}" for i in range(start, start + count)))
    assert found is not None
    return found


def test_own_and_others_prompts_are_told_apart() -> None:
    lookout = Lookout(EMBEDDING)
    found = []
    for principal, start in (("a", 100), ("b", 102), ("a", 101), ("a", 1500)):
        lookout.see(principal, words(start))
        found += lookout.look()
    assert found[0].own == 0
    assert found[1].own == 0
    assert found[1].others > CLOSE
    assert found[1].other == "a"
    assert found[2].own > CLOSE
    assert found[3].own < 0.5
    assert lookout.share("a") == pytest.approx(1 / 3)
    assert lookout.share("nobody") == lookout.growth("nobody") == 0
    assert lookout.look() == []


def test_prompts_are_looked_up_many_at_a_time() -> None:
    lookout = Lookout(EMBEDDING)
    found = [lookout.see("a", words(100 + 3 * i)) for i in range(2 * BATCH)]
    assert [len(nears) for nears in found] == ([0] * (BATCH - 1) + [BATCH]) * 2
    assert [near.length for near in found[-1]] == [30] * BATCH


def test_a_cluster_that_grows_is_told() -> None:
    lookout = Lookout(EMBEDDING)
    for i in range(20):
        lookout.see("a", words(100 + (60 * i if i < 10 else 0)))
        lookout.look()
    assert lookout.growth("a") == 1.0


def test_the_window_is_bounded() -> None:
    lookout = Lookout(EMBEDDING, capacity=200)
    for _ in range(BATCH):
        lookout.see("old", words(100))
    for i in range(10 * BATCH):
        lookout.see("new", words(200 + 7 * i % 2000))
        assert len(lookout) <= 200 + BATCH
    lookout.see("x", words(100))
    assert lookout.look()[0].other != "old"


def test_cells_are_laid_without_anybodys_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are the same, and the search is not one of everything."""
    monkeypatch.setattr(codes, "EXACT_TO", 300)
    lookout = Lookout(EMBEDDING)
    laid = []
    for i in range(20 * BATCH):
        lookout.see(f"p{i % 3}", words(4 * i))
        laid.append(lookout._index._laid_for)
    assert laid[0] == 0
    assert laid[-1] > 300
    lookout.see("x", words(1000))
    assert lookout.look()[0].others > CLOSE


def test_hashed_rows_tell_shared_words() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        start, moved = int(rng.integers(0, 2000)), int(rng.integers(0, 30))
        first, second = EMBEDDING.vector(words(start).ids), EMBEDDING.vector(words(start + moved).ids)
        # All these words weigh the same; five standard deviations of a cosine of random directions.
        assert float(first @ second) == pytest.approx(1 - moved / 30, abs=5 / 256**0.5)
