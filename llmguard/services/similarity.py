"""Vector stores, similarity and rerank as services; what they need is loaded when the first of them is asked.

NumPy and FAISS take 60 MB and a third of a second, which a guard that only relays chats must not pay.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llmguard.clock import Clock
from llmguard.errors import Denial, Refused
from llmguard.exchange import Exchange
from llmguard.service import Served, Service
from llmguard.services.embedder import Embedder
from llmguard.settings import Settings
from llmguard.store import directory
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.similarity_endpoints import SIMILARITY_ENDPOINTS

if TYPE_CHECKING:
    from llmguard.services.opened import OpenedSimilarity

FOLDER = "similarity"


class Opened(Protocol):
    """Everything over one directory, opened."""

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """What it answers."""
        ...

    async def keep(self) -> None:
        """Work on files, and tidy up, until cancelled."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class Similarity:
    """Outlives a reload: `serving()` tells the settings in force, `key(purpose)` derives one of 32 bytes."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        key: Callable[[str], bytes],
        embedder: Embedder,
        serving: Callable[[], Settings],
    ) -> None:
        self._directory = directory_of(settings)
        self._clock = clock
        self._key = key
        self._embedder = embedder
        self._serving = serving
        self._opening = asyncio.Lock()
        self._opened: Opened | None = None
        self._closed = False
        self._begun = asyncio.Event()

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """All of them."""
        return dict.fromkeys(SIMILARITY_ENDPOINTS, self._serve)

    async def keep(self) -> None:
        """Go on with what an earlier process left, and then with what comes, until cancelled."""
        if self._directory is None or not self._directory.exists() or self._serving().similarity_model is None:
            await self._begun.wait()
        await (await self._open()).keep()

    async def close(self) -> None:
        """Let go of everything."""
        self._closed = True
        async with self._opening:
            if self._opened is not None:
                await self._opened.close()

    async def _serve(self, exchange: Exchange) -> Served:
        if not exchange.principal.tenant:
            raise Refused(Denial("invalid_api_key"))  # `mode: observe` let nobody in, and nobody owns anything
        if self._serving().similarity_model is None:
            raise Refused(Denial("model_not_found", "No embedding model serves this endpoint here."))
        service = (await self._open()).services.get(exchange.endpoint)
        if service is None:
            raise Refused(Denial("unknown_url", "Vector stores are not kept here."))
        return await service(exchange)

    async def _open(self) -> Opened:
        if self._opened is not None and not self._closed:
            return self._opened
        async with self._opening:
            if self._closed:
                raise Refused(Denial("overloaded", "The service is shutting down.", retry_after_s=1.0))
            if self._opened is None:
                self._opened = await self._loaded()
                self._begun.set()
            return self._opened

    async def _loaded(self) -> Opened:
        kind = await asyncio.to_thread(load)
        return await kind.over(self._directory, self._clock, self._key, self._embedder, self._serving)


def load() -> "type[OpenedSimilarity]":
    """What opens it; takes a third of a second, so call it in a thread."""
    # Here and nowhere else, and not above: see the module's docstring.
    from llmguard.services.opened import OpenedSimilarity  # noqa: PLC0415

    return OpenedSimilarity


def directory_of(settings: Settings) -> Path | None:
    """Where vector stores live: beside a file: store, where the settings say no other place; else nowhere lasting."""
    if settings.similarity.directory is not None:
        return Path(settings.similarity.directory)
    return directory(settings.store.url) / FOLDER if settings.store.scheme == "file" else None
