"""The embedded chat model for the attacks on it: converted once, in this process and in its own."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmguard.settings import EmbeddedUpstream
from llmguard.upstreams.embedded.chat_model import ChatModel, Parts, load
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.embedded.models import Models

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of converted models that has been filled."""
    cache = tmp_path_factory.mktemp("models")
    Models(cache)
    return cache


@pytest.fixture(scope="session")
def smollm2(weights: Path) -> ChatModel:
    """The model, in this process."""

    def convert() -> Parts:
        raise AssertionError("the cache must serve")

    (directory,) = weights.glob("*/*")
    return load(directory, convert)


@pytest.fixture(scope="module")
async def embedded(weights: Path) -> AsyncIterator[Embedded]:
    """The model, as an upstream."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT) + os.pathsep + os.environ.get("PYTHONPATH", ""))
        upstream = Embedded(EmbeddedUpstream(kind="embedded"), cache=weights)
        await upstream.start()
    yield upstream
    await upstream.close()
