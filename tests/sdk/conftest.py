"""A guard in front of a fake upstream, and the official clients of it."""

from collections.abc import AsyncIterator

import openai
import pytest

from tests.fakes import FakeOpenAI
from tests.sdk.setting import settings
from tests.serving import KEY, Running, running


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    """The upstream."""
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def guard(fake: FakeOpenAI) -> AsyncIterator[Running]:
    """The guard in front of it."""
    async with running(settings(fake.url)) as served:
        yield served
    served.audit.ended()


@pytest.fixture
async def client(guard: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    """Alice's client, which sees every error at once."""
    async with openai.AsyncOpenAI(base_url=guard.v1, api_key=KEY, max_retries=0, timeout=10) as made:
        yield made
