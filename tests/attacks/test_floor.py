"""Asking twice: identical prompts agree as often as the floor's temperature says, and no more."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.upstreams.embedded.chatml import chat_tokens
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.embedded.order import Sampling, Turn
from llmguard.upstreams.embedded.sampling import Floats, probabilities
from tests.attacks.applications import application, asked

pytestmark = pytest.mark.anyio

PROMPT = "Invent a name for a cat."
FLOOR = 0.3
REQUESTS, CHOICES = 60, 4
QUANTILES = (0.0005, 0.9995)


def agreement(counts: Sequence[int]) -> float:
    """The share of pairs of answers that are alike: unbiased for the sum of squared probabilities."""
    total = sum(counts)
    return sum(count * (count - 1) for count in counts) / (total * (total - 1))


def first_token(model: ChatModel, temperature: float) -> Floats:
    """What the first token of an answer is drawn from."""
    tokens = chat_tokens((Turn("user", PROMPT),), model)
    logits = model.llama.forward(torch.tensor([tokens]), model.llama.cache(len(tokens)))[0].numpy()
    return probabilities(logits.astype(np.float64), Sampling(temperature=temperature))


async def answers(embedded: Embedded, requests: int, **options: Any) -> Counter[str]:
    """First tokens of answers to one greedy request, made over and over."""
    app = application(embedded, kind="embedded", **options)
    messages = [{"role": "user", "content": PROMPT}]
    body = {"model": "chat", "messages": messages, "temperature": 0, "max_tokens": 1, "n": CHOICES}
    found: Counter[str] = Counter()
    for _ in range(requests):
        client = await asked(app, body)
        assert client.status == 200, client.body
        found.update(choice["message"]["content"] for choice in client.json["choices"])
    return found


async def test_bare_they_always_agree_and_through_the_guard_as_the_floor_predicts(
    embedded: Embedded, smollm2: ChatModel
) -> None:
    assert len(await answers(embedded, 5, without=["decoding"])) == 1
    p = first_token(smollm2, FLOOR)
    seen = agreement([*(await answers(embedded, REQUESTS, deterministic="raise")).values()])
    draws = np.random.default_rng(0).multinomial(REQUESTS * CHOICES, p / p.sum(), size=4000)
    low, high = np.quantile([agreement(row[row > 0].tolist()) for row in draws], QUANTILES)
    assert low <= seen <= high
    assert high < 0.9
