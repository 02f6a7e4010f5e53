"""One converted cache and one worker for all tests here: converting and loading take seconds."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmguard.settings import EmbeddedUpstream
from llmguard.upstreams.embedded.chat_model import ChatModel, Parts, load
from llmguard.upstreams.embedded.convert import Gguf
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.embedded.models import Models
from llmguard.upstreams.embedded.packages import chat_gguf

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _importable() -> None:
    """The worker finds the packages of this checkout from whatever directory the tests run in."""
    os.environ["PYTHONPATH"] = str(ROOT)


@pytest.fixture(scope="session")
def settings() -> EmbeddedUpstream:
    return EmbeddedUpstream(kind="embedded", max_queue=2)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has been filled."""
    cache = tmp_path_factory.mktemp("models")
    Models(cache)
    return cache


@pytest.fixture(scope="session")
def model_directory(cache: Path) -> Path:
    """Where the converted model is."""
    (directory,) = cache.glob("*/*")
    return directory


@pytest.fixture(scope="session")
async def embedded(cache: Path, settings: EmbeddedUpstream) -> AsyncIterator[Embedded]:
    embedded = Embedded(settings, cache=cache)
    await embedded.start()
    yield embedded
    await embedded.close()


@pytest.fixture(scope="session")
def model(model_directory: Path) -> ChatModel:
    """The cached model, in this process."""

    def convert() -> Parts:
        raise AssertionError("the cache must serve")

    return load(model_directory, convert)


@pytest.fixture(scope="session")
def gguf_path() -> Path:
    return chat_gguf()


@pytest.fixture(scope="session")
def gguf(gguf_path: Path) -> Gguf:
    return Gguf(gguf_path)
