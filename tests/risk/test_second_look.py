"""The second look sees paraphrases, waits for nobody, and is shed first."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from llmguard.metrics import Metrics
from llmguard.risk.build import encoder_at, vocabulary_file
from llmguard.risk.second_look import BATCH, FEWEST, MOST_WAITING, Meanings, SecondLook
from prompts.scorer import ids_of
from prompts.tokens import Tokens, read_vocabulary

pytestmark = pytest.mark.anyio


def axis(place: int) -> Any:
    """A unit vector."""
    return np.eye(384, dtype=np.float32)[place % 384]


def encode(texts: Sequence[Sequence[int]]) -> Any:
    """Texts of one first id mean the same."""
    return np.stack([axis(ids[0]) for ids in texts])


def counted(metrics: Metrics, outcome: str) -> float:
    """What the metrics say."""
    name = f'llmguard_second_looks_total{{outcome="{outcome}"}} '
    lines = [line for line in metrics.exposition().decode().splitlines() if line.startswith(name)]
    return float(lines[0].removeprefix(name)) if lines else 0.0


def test_what_means_the_same_again_and_again_is_seen() -> None:
    alike, unlike = Meanings(), Meanings()
    for place in range(FEWEST + 1):
        alike.see(axis(1))
        unlike.see(axis(place))
    assert dict(alike.signals())["paraphrases"].p < 1e-5
    assert dict(unlike.signals())["paraphrases"].p == 1.0
    assert dict(Meanings().signals()) == {}


async def test_prompts_are_looked_at_in_batches() -> None:
    metrics = Metrics()
    second = SecondLook(encode, metrics)
    for place in range(BATCH + 5):
        second.offer("a", [1, place])
        second.offer("b", [])
    task = asyncio.ensure_future(second.run())
    while counted(metrics, "done") < BATCH + 5:
        await asyncio.sleep(0.005)
    assert second.signals("a")["paraphrases"].window == BATCH + 4
    assert second.signals("b") == {}
    task.cancel()


async def test_overload_sheds_the_oldest_and_says_so() -> None:
    metrics = Metrics()
    second = SecondLook(encode, metrics)
    for place in range(MOST_WAITING + 7):
        second.offer("a", [place])
    assert counted(metrics, "shed") == 7
    await second.look()
    assert counted(metrics, "done") == BATCH


async def test_an_encoder_that_fails_ends_nothing_else() -> None:
    def broken(texts: Sequence[Sequence[int]]) -> Any:
        raise FileNotFoundError("no model")

    metrics = Metrics()
    second = SecondLook(broken, metrics)
    for place in range(BATCH + 5):
        second.offer("a", [place])
    async with asyncio.timeout(5):
        await second.run()
    second.offer("a", [1])
    assert counted(metrics, "shed") == BATCH + 6


def test_minilm_reads_ids_as_it_reads_the_text() -> None:
    """A paraphrase that shares few words is nearer than another text that shares more."""
    file = vocabulary_file()
    assert file is not None
    tokens = Tokens(read_vocabulary(file))
    from llmguard.upstreams.embedded.minilm import MiniLM

    texts = [
        "what should i do when my card was stolen",
        "somebody took my bank card, which steps are to be taken?",
        "what should i do when my cake was burnt",
        "\u0434\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c",
    ]
    found = encoder_at(file.parent)([ids_of(text, tokens).tolist() for text in texts])
    assert found.shape == (4, 384)
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]
    (batch,) = MiniLM(file.parent).batches(texts[:3])
    expected = np.array([vector for _, vector in sorted(batch)])
    assert (found[:3] * expected).sum(axis=1).min() >= 0.9999
