"""A guard with vector stores, and a client for each of its tenants."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.words import WordsUpstream
from tests.services.site import Site, opened


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop a module, which its guard lives in."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[Site]:
    """The guard; each test works in stores of its own."""
    async with opened(WordsUpstream()) as made:
        yield made
