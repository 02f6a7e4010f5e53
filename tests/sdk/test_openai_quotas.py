"""Quotas as the official client meets them: it waits where waiting helps, and raises at once where it does not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from tests.fakes import FakeOpenAI
from tests.serving import KEY, running, tree

pytestmark = pytest.mark.anyio

HELLO: Any = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def serving(fake: FakeOpenAI, **limit: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client, which tries thrice, of a guard with this limit per key."""
    policies = {"public": {"limits": [{"per": "key", **limit}]}, "narrow": {}}
    async with running(tree(fake.url, policies=policies)) as guard:
        async with openai.AsyncOpenAI(base_url=guard.v1, api_key=KEY, max_retries=2, timeout=10) as client:
            yield client


async def test_it_waits_for_a_short_window_by_itself(fake: FakeOpenAI) -> None:
    async with serving(fake, of="requests", limit=1, every="1s") as client:
        for _ in range(3):
            answer = await client.chat.completions.create(model="chat", messages=HELLO)
            assert answer.choices[0].message.content == fake.answer.text
    assert len(fake.requests) == 3


async def test_it_does_not_wait_for_a_budget(fake: FakeOpenAI) -> None:
    async with serving(fake, of="requests", limit=1, every="1d") as client:
        await client.chat.completions.create(model="chat", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as raised:
            await client.responses.create(model="chat", input="hello")
        assert (raised.value.code, raised.value.type) == ("insufficient_quota", "insufficient_quota")
        assert raised.value.response.request.headers["x-stainless-retry-count"] == "0"


async def test_it_reads_what_is_left(fake: FakeOpenAI) -> None:
    async with serving(fake, of="tokens", limit=10_000, every="1m") as client:
        raw = await client.chat.completions.with_raw_response.create(model="chat", messages=HELLO, max_tokens=50)
        assert raw.headers["x-ratelimit-limit-tokens"] == "10000"
        assert 9_000 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 10_000
        assert raw.headers["x-ratelimit-reset-tokens"] == "1m0s"


async def test_a_stream_is_held_to_the_limit_too(fake: FakeOpenAI) -> None:
    async with serving(fake, of="output_tokens", limit=60, every="1m") as client:
        chat = client.chat.completions
        async for _ in await chat.create(model="chat", messages=HELLO, max_tokens=50, stream=True):
            pass
        assert fake.requests[0].body["max_tokens"] == 50
        with pytest.raises(openai.RateLimitError):
            # It would wait for the minute to pass: the server says how long.
            await client.with_options(max_retries=0).chat.completions.create(
                model="chat", messages=HELLO, max_tokens=58, stream=True
            )
