"""Copying an encoder, and reading texts out of its vectors, through `/v1/embeddings`.

The attacker asks for vectors of texts whose true ones are known to it (a public encoder of the kind, or a leak), fits a
linear map back to them, and applies it: to what it is told of other texts, and to a tenant's vectors that have leaked.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmguard.app import App
from llmguard.wire.pooling import Embedding, Embeddings, PoolingAnswer, PoolingRequest, texts
from similarity.vectors import Vectors, unit
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream

Doubles = NDArray[np.float64]
BATCH = 500


class Encoder(FakeUpstream):
    """An upstream that knows these texts' vectors."""

    def __init__(self, known: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self.known = known

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """The vectors in full."""
        data = [Embedding(index=i, embedding=self.known[text].tolist()) for i, text in enumerate(texts(request))]
        return Embeddings(data=data, model="upstream-model")


class Words:
    """A bag of words as a text model: each word has a random direction, a text the sum of its words'."""

    def __init__(self, size: int, vocabulary: int = 400, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self._directions = self._random.standard_normal((vocabulary, size))

    def texts(self, count: int, length: int = 12) -> list[str]:
        """Different texts of so many words."""
        found: dict[str, None] = {}
        while len(found) < count:
            found[self._said(self._random.choice(len(self._directions), length, replace=False).tolist())] = None
        return list(found)

    def paraphrases(self, text: str, count: int, changed: int = 2) -> list[str]:
        """Different texts that share all but so many words with this one."""
        words = [int(word[1:]) for word in text.split()]
        found: dict[str, None] = {}
        while len(found) < count:
            kept = self._random.permutation(words)[changed:].tolist()
            other = self._random.choice(len(self._directions), changed, replace=False).tolist()
            found[self._said([*kept, *other])] = None
        return list(found)

    def vectors(self, said: Sequence[str]) -> Vectors:
        """[n, size]."""
        return unit(np.stack([self._directions[[int(w[1:]) for w in text.split()]].sum(axis=0) for text in said]))

    def read(self, estimates: Doubles | Vectors, said: Sequence[str]) -> Doubles:
        """For each text the share of its words that are read out of an estimate of its vector, as many as it has."""
        scores = unit(estimates) @ self._directions.T
        shares = []
        for row, text in zip(scores, said, strict=True):
            words = {int(word[1:]) for word in text.split()}
            shares.append(len(words & set(np.argsort(-row)[: len(words)].tolist())) / len(words))
        return np.array(shares)

    @staticmethod
    def _said(words: Sequence[int]) -> str:
        return " ".join(f"w{word}" for word in words)


async def told(app: App, said: Sequence[str], *, key: str, model: str = "minilm", **more: Any) -> Doubles:
    """[n, k]: what the application tells of texts."""
    rows: list[list[float]] = []
    for start in range(0, len(said), BATCH):
        body = {"model": model, "input": list(said[start : start + BATCH]), **more}
        client = FakeClient("/v1/embeddings", body, key=key)
        await app(client.scope, client.receive, client.send)
        assert client.status == 200, client.body
        rows += [item["embedding"] for item in client.json["data"]]
    return np.array(rows)


def fitted(seen: Doubles, truth: Vectors, strength: float = 1e-3) -> Doubles:
    """The map [k, d] by ridge regression; `strength` in units of the mean power of a number that is seen."""
    gram = seen.T @ seen
    mean = float(np.trace(gram)) / len(gram)
    found: Doubles = np.linalg.solve(gram + strength * mean * np.eye(len(gram)), seen.T @ truth.astype(np.float64))
    return found


def cosines(one: Doubles | Vectors, other: Doubles | Vectors) -> Doubles:
    """Row by row."""
    found: Doubles = (unit(one) * unit(other)).sum(axis=1).astype(np.float64)
    return found


def recognised(estimates: Doubles, candidates: Vectors, right: Sequence[int]) -> Doubles:
    """For each estimate 1 where the nearest candidate is the right one, else 0."""
    nearest = (unit(estimates) @ candidates.T).argmax(axis=1)
    return (nearest == np.array(right)).astype(np.float64)


def overlaps(true: Vectors, seen: Doubles | Vectors, items: int, best: int = 10) -> Doubles:
    """For each row after the first `items`: how many of its `best` nearest items stay the same, as a share."""

    def found(rows: Vectors) -> NDArray[np.int64]:
        return np.argsort(-(rows[items:] @ rows[:items].T), axis=1)[:, :best]

    pairs = zip(found(true), found(unit(seen)), strict=True)
    return np.array([len(set(one.tolist()) & set(other.tolist())) / best for one, other in pairs])


def interval(values: Doubles, resamples: int = 1000) -> tuple[float, float]:
    """The middle 95 % of means of resamples."""
    means = np.random.default_rng(5).choice(values, (resamples, len(values))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
