"""Near-duplicates are found among a principal's own and others' prompts, within a bounded window."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from prompts.fingerprint import DIMENSIONS, StaticEmbedding, distil
from prompts.lookout import Lookout
from prompts.neighbours import ExactNeighbours
from prompts.signals.near_duplicates import CLOSE
from prompts.tokens import Tokens
from tests.prompts.vocabulary import vocabulary

WORDS = vocabulary()
TOKENS = Tokens(WORDS)


@pytest.fixture(scope="module")
def embedding() -> StaticEmbedding:
    """Each token has a direction of its own."""

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.random.default_rng(1).normal(size=(len(texts), 384)).astype(np.float32)

    return distil(WORDS, encode)


def words(start: int, count: int = 30) -> list[int]:
    """A prompt of that many words from one on."""
    return TOKENS.ids(" ".join(f"word{i}" for i in range(start, start + count)))


def test_own_and_others_prompts_are_told_apart(embedding: StaticEmbedding) -> None:
    lookout = Lookout(embedding, ExactNeighbours(DIMENSIONS))
    assert lookout.see("a", words(100)).own == 0
    near = lookout.see("b", words(102))
    assert near.own == 0
    assert near.others > CLOSE
    assert near.other == "a"
    assert lookout.see("a", words(101)).own > CLOSE
    assert lookout.see("a", words(1500)).own < 0.5
    assert lookout.share("a") == pytest.approx(1 / 3)
    assert lookout.share("nobody") == lookout.growth("nobody") == 0


def test_a_cluster_that_grows_is_told(embedding: StaticEmbedding) -> None:
    lookout = Lookout(embedding, ExactNeighbours(DIMENSIONS))
    for i in range(10):
        lookout.see("a", words(100 + 60 * i))
    for _ in range(10):
        lookout.see("a", words(100))
    assert lookout.growth("a") == 1.0


def test_the_window_is_bounded_and_forgets_whole_principals(embedding: StaticEmbedding) -> None:
    lookout = Lookout(embedding, ExactNeighbours(DIMENSIONS), capacity=20)
    lookout.see("old", words(100))
    for i in range(50):
        lookout.see("new", words(200 + 40 * i))
    assert len(lookout) == 20
    assert lookout.see("x", words(100)).others < CLOSE
    assert lookout.share("old") == 0
    assert set(lookout._own) == {"new", "x"}
