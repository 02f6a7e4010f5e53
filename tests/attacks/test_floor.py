"""Asking twice: identical prompts agree as often as the floor's temperature says, and no more."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from llmguard.decoding.engines import ENGINES, Defaults
from llmguard.decoding.judgement import breaches
from llmguard.settings_policies import Decoding
from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.upstreams.embedded.chatml import chat_tokens
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.embedded.order import Sampling, Turn
from llmguard.upstreams.embedded.sampling import Floats, probabilities
from tests.attacks.applications import application, asked
from tests.attacks.sampler import cut
from tests.decoding.requests import chat

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


# --- cuts: what a temperature above the floor must pay for ---------------------------------------

PROMPTS = (PROMPT, "Explain why the sky is blue.", "Write a haiku about winter.", "What is 12 times 7?")
ANSWERS, WORDS = 6, 30
BEST = 500
"""Candidates of a token; those after them have a millionth together."""
SHARES, COUNTS, RATIOS = (1.0, 0.95, 0.8, 0.6, 0.5, 0.4, 0.35, 0.1), (0, 2, 3, 5, 10, 20), (0.0, 0.05, 0.1, 0.3, 0.5)
NEARLY = 0.003
"""What a rule of three prices may be off by, in agreement."""


@pytest.fixture(scope="module")
def logits(smollm2: ChatModel) -> list[Floats]:
    """The best candidates' logits at each token of some answers, drawn at a temperature of 1.

    Of several each: which words are drawn hangs on the last bits of a processor's arithmetic, and over one answer each
    a price's mean is off by 0.011 from one processor to the next, three times NEARLY.
    """
    random, found = np.random.default_rng(0), []
    for prompt in PROMPTS * ANSWERS:
        tokens = chat_tokens((Turn("user", prompt),), smollm2)
        cache = smollm2.llama.cache(len(tokens) + WORDS)
        for _ in range(WORDS):
            row = smollm2.llama.forward(torch.tensor([tokens]), cache)[0].numpy().astype(np.float64)
            found.append(np.sort(row)[-BEST:])
            p = probabilities(row, Sampling(temperature=1.0))
            tokens = [int(random.choice(p.size, p=p / p.sum()))]
    return found


def alike(logits: Sequence[Floats], fields: dict[str, Any], *, cuts_first: bool) -> float:
    """How often two answers to one prompt agree in a token, under these fields: the mean sum of squares."""
    temperature = fields["temperature"]
    total = 0.0
    for row in logits:
        left = cut(row, fields) / temperature if cuts_first else cut(row / temperature, fields)
        p = np.exp(left - left.max())
        total += float(np.square(p / p.sum()).sum())
    return total / len(logits)


def coldest(fields: dict[str, Any], defaults: Defaults, floors: Decoding) -> float | None:
    """The lowest temperature of a grid at which the guard passes these fields."""
    grid = np.round(np.arange(floors.min_temperature, 2.0, 0.02), 2)
    passing = (t for t in grid if not breaches(chat(**fields, temperature=float(t)), defaults, floors))
    return next((float(t) for t in passing), None)


def cutting(engine: str) -> Iterator[dict[str, Any]]:
    """Fields that cut, one or more at once."""
    for top_p, top_k, min_p in product(SHARES, COUNTS, RATIOS):
        yield {"top_p": top_p, "top_k": top_k, "min_p": min_p}
    if "typical_p" in ENGINES[engine].fields:
        for typical_p, top_p, top_k in product(SHARES, (1.0, 0.8), (0, 3, 20)):
            yield {"typical_p": typical_p, "top_p": top_p, "top_k": top_k, "min_p": 0.0}


@pytest.mark.parametrize("engine", ["vllm", "llamacpp"])
@pytest.mark.parametrize("floor", [0.1, 0.2, FLOOR])
def test_no_cut_that_passes_makes_repeats_agree_more_than_the_floor(
    logits: list[Floats], engine: str, floor: float
) -> None:
    defaults, floors = ENGINES[engine].defaults, Decoding(min_temperature=floor)
    most = alike(logits, {"temperature": floor}, cuts_first=False)
    bare = [alike(logits, {**fields, "temperature": 1.0}, cuts_first=defaults.cuts_first) for fields in cutting(engine)]
    assert max(bare) > max(0.95, most)
    passed = 0
    for fields in cutting(engine):
        if (temperature := coldest(fields, defaults, floors)) is not None:
            passed += 1
            found = alike(logits, {**fields, "temperature": temperature}, cuts_first=defaults.cuts_first)
            assert found <= most + NEARLY, (fields, temperature, found, most)
    assert passed >= 80
