"""Text that the official client gets from the guard's own model, read by a verifier that has the key and the tokenizer.

What goes wrong without the control is shown beside: the same question, unmarked.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from tokenizers import Tokenizer

from llmguard.keys import derive
from llmguard.upstreams.embedded.models import Models
from tests.asking import until
from tests.serving import KEY, OTHER_KEY, SECRET, Running, running, tree
from watermark.detector import Detector
from watermark.keys.words import words
from watermark.schemes.gumbel import Vllm

pytestmark = pytest.mark.anyio

ASKED: Any = {
    "model": "chat",
    "messages": [{"role": "user", "content": "Tell me a long story about a lighthouse."}],
    "temperature": 0.9,
    "max_tokens": 130,
}

TRIES, WORDS = 5, 50


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has been filled."""
    cache = tmp_path_factory.mktemp("models")
    Models(cache)
    return cache


@pytest.fixture
async def served(cache: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A guard with its own model: alice's policy has text marked, bob's has not."""
    monkeypatch.setitem(os.environ, "PYTHONPATH", str(Path(__file__).parents[2]))
    settings = tree("http://unused/v1", policies={"public": {"watermark": {}}, "narrow": {}})
    settings["upstreams"] = {"fake": {"kind": "embedded"}}
    settings["models"] = {"chat": {"task": "chat", "upstream": "fake", "model": "smollm2-135m-instruct"}}
    async with running(settings, cache=cache) as guard:
        await until(lambda: guard.app._generation.upstreams["fake"].ready, 60)
        yield guard


def log10_p(cache: Path, text: str, tenant: str = "acme") -> float:
    """What a tenant's key finds in a text."""
    master = derive(SECRET.encode(), "watermark")
    (key,) = words(master, scheme="gumbel-vllm", tenant=tenant, epoch=1, model="chat")
    (file,) = cache.glob("*/*/tokenizer.json")
    tokens = Tokenizer.from_file(str(file)).encode(text).ids
    return Detector(Vllm(), np.array([[key]], np.uint64)).document(tokens, alpha=1e-6)[0].log10_p


async def told(client: openai.AsyncOpenAI, *, stream: bool) -> tuple[str, int]:
    """A story, and how often it was asked for: now and then the model ends after a sentence."""
    for asked in range(1, TRIES + 1):
        if stream:
            chunks = [chunk async for chunk in await client.chat.completions.create(**ASKED, stream=True)]
            text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        else:
            text = (await client.chat.completions.create(**ASKED)).choices[0].message.content or ""
        if len(text.split()) >= WORDS:
            return text, asked
    raise AssertionError(f"{TRIES} stories of under {WORDS} words")


async def test_marked_text_detects_streamed_or_not_and_unmarked_text_does_not(served: Running, cache: Path) -> None:
    async with openai.AsyncOpenAI(base_url=served.v1, api_key=KEY, max_retries=0, timeout=60) as client:
        whole, first = await told(client, stream=False)
        streamed, second = await told(client, stream=True)
    async with openai.AsyncOpenAI(base_url=served.v1, api_key=OTHER_KEY, max_retries=0, timeout=60) as client:
        plain, unmarked = await told(client, stream=False)
    # Chance decides what is written: the bound is one that hardly a text of this length misses.
    assert log10_p(cache, whole) < -4
    assert log10_p(cache, streamed) < -4
    assert log10_p(cache, plain) > -4
    assert log10_p(cache, whole, "globex") > -4
    lines = await served.audit.until(first + second + unmarked)
    schemes = [line.get("watermark_scheme") for line in lines]
    assert schemes == ["gumbel-vllm"] * (first + second) + [None] * unmarked
    assert lines[0]["watermark_tokens"] == lines[0]["output_tokens"] > 0
