"""What somebody on the wire makes of sizes and times: streams about topics, a reader of sizes, recorded times."""

import time
from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from llmguard.clock import SystemClock
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, Guarded
from tests.serving import OTHER_KEY

TOPICS = 4
Sizes = tuple[int, ...]
Labelled = list[tuple[int, Sizes]]

REQUESTS: dict[str, dict[str, Any]] = {
    "unknown key": {"key": "lg-nobody-has-this-one"},
    "no key": {"key": None},
    "unknown model": {"key": OTHER_KEY, "json": {**CHAT, "model": "none"}},
    "forbidden model": {"key": OTHER_KEY, "json": CHAT},
}
"""Pairs of them must not be told apart."""


# --- sizes ------------------------------------------------------------------------------------


def texts(topic: int, rng: np.random.Generator) -> list[str]:
    """A stream about a topic: words as long as its vocabulary has them, among them accents and pictures.

    How many there are does not depend on the topic.
    """
    shares = np.random.default_rng(topic).dirichlet(np.full(14, 0.6))
    lengths = 1 + rng.choice(14, size=int(rng.integers(30, 60)), p=shares)
    letters = "ae" if topic % 2 else "éa🌍"
    return ["".join(rng.choice(list(letters), size=length)) for length in lengths]


async def seen(path: str, body: dict[str, Any], policies: dict[str, Any], count: int, seed: int) -> Labelled:
    """The sizes of every write of `count` streams a topic, with their topics."""
    rng = np.random.default_rng(seed)
    found: Labelled = []
    for topic in list(range(TOPICS)) * count:
        guard = Guarded(FakeUpstream(texts(topic, rng)), policies=policies)
        client = await guard.ask(path, {**body, "stream": True})
        found.append((topic, tuple(len(message["body"]) for message in client.sent[1:])))
    return found


def accuracy(known: Labelled, asked: Labelled) -> float:
    """How often the likeliest topic is the right one: naive Bayes over the sizes of writes, Laplace-smoothed."""
    counts = [Counter(size for topic, sizes in known if topic == t for size in sizes) for t in range(TOPICS)]
    values = len(set().union(*counts)) + 1

    def score(sizes: Sizes, topic: int) -> float:
        total = sum(counts[topic].values()) + values
        return sum(log((counts[topic][size] + 1) / total) for size in sizes)

    right = sum(max(range(TOPICS), key=lambda t: score(sizes, t)) == topic for topic, sizes in asked)
    return right / len(asked)


# --- times ------------------------------------------------------------------------------------


async def answered_after(guard: Guarded, asked: dict[str, Any]) -> float:
    """Seconds of the real clock from a request to the head of its answer, which must be a refusal."""
    client = FakeClient(**{"json": CHAT, **asked})
    heads: list[float] = []
    client.on_send = lambda message: heads.append(time.perf_counter()) if not heads else None
    start = time.perf_counter()
    await guard.serve(client)
    assert client.status in (401, 404)
    return heads[0] - start


async def recorded(guard: Guarded, pair: tuple[str, str], count: int, seed: int) -> tuple[list[float], list[float]]:
    """The times of `count` requests of either kind, in an order drawn at random so that drifts meet both alike."""
    order = np.random.default_rng(seed).permutation(np.repeat([0, 1], count))
    times: tuple[list[float], list[float]] = ([], [])
    for kind in order.tolist():
        times[kind].append(await answered_after(guard, REQUESTS[pair[kind]]))
    return times


def told_apart(times: tuple[Sequence[float], Sequence[float]]) -> bool:
    """Whether a two-sample Kolmogorov-Smirnov test tells them apart at 1 %."""
    return bool(ks_2samp(*times).pvalue <= 0.01)


def real_time(guard: Guarded) -> Guarded:
    """The same guard under the machine's clock."""
    clock = SystemClock()
    guard.clock.monotonic, guard.clock.sleep_until = clock.monotonic, clock.sleep_until  # type: ignore[method-assign]
    return guard
