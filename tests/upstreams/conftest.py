"""The provider that the litellm upstream talks to."""

from collections.abc import AsyncIterator

import pytest

from llmguard.upstreams.litellm import LiteLLM
from tests.fakes.anthropic import FakeAnthropic
from tests.upstreams.litellm_calls import chat, upstream_to


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def fake(anyio_backend: str) -> AsyncIterator[FakeAnthropic]:
    """The provider. One call has gone through already: litellm's first is slow, and would blur the short timeouts."""
    async with FakeAnthropic() as server:
        warming = upstream_to(server)
        await warming.ask(chat())
        server.requests.clear()
        server.headers.clear()
        server.received.clear()
        yield server
        await warming.close()


@pytest.fixture
def upstream(fake: FakeAnthropic) -> LiteLLM:
    return upstream_to(fake)
