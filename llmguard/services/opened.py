"""Everything that similarity needs, opened: the library of a directory, its worker, and what answers each endpoint."""

import asyncio
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from llmguard.clock import Clock
from llmguard.errors import Denial, GuardError
from llmguard.service import Service
from llmguard.services.embedder import Embedder
from llmguard.services.files import FileService
from llmguard.services.ingestion import Ingestion
from llmguard.services.library import Embeddings, Library
from llmguard.services.likeness import Likeness
from llmguard.services.searches import Searches
from llmguard.services.store_files import StoreFileService
from llmguard.services.stores import StoreService
from llmguard.settings import Settings
from llmguard.wire.endpoint import Endpoint
from similarity.library.database import LibraryError

log = logging.getLogger(__name__)

MODEL_FILE = "model.json"
PROBE = "a text"


class OpenedSimilarity:
    """`library` is None where vector stores are not kept."""

    def __init__(
        self,
        embeddings: Embeddings,
        library: Library | None,
        ingestion: Ingestion | None,
        services: Mapping[Endpoint, Service],
        folder: tempfile.TemporaryDirectory[str] | None,
    ) -> None:
        self.services = services
        self._embeddings = embeddings
        self._library = library
        self._ingestion = ingestion
        self._folder = folder

    @classmethod
    async def over(
        cls,
        directory: Path | None,
        clock: Clock,
        key: Callable[[str], bytes],
        embedder: Embedder,
        serving: Callable[[], Settings],
    ) -> "OpenedSimilarity":
        """Open what is in the directory, or begin there; in a passing one for a memory: store.

        Raises GuardError where its vectors are another model's, or it cannot be opened.
        """
        folder = None
        if directory is None and serving().store.scheme == "memory":
            folder = tempfile.TemporaryDirectory(prefix="llmguard-", ignore_cleanup_errors=True)
            directory = Path(folder.name)
        embeddings = Embeddings(embedder)
        likeness = Likeness(embeddings, key("similarity-scores"), serving)
        if directory is None:
            return cls(embeddings, None, None, likeness.services, None)
        library = await _library(directory, clock, key, embedder, embeddings, serving())
        ingestion = Ingestion(library, clock)
        services: dict[Endpoint, Service] = dict(likeness.services)
        for service in (
            FileService(library),
            StoreService(library, ingestion, lambda: serving().policies),
            StoreFileService(library, ingestion),
            Searches(library, embeddings),
        ):
            services |= service.services
        return cls(embeddings, library, ingestion, services, folder)

    async def keep(self) -> None:
        """Work on files, and tidy up, until cancelled."""
        if self._ingestion is not None:
            await self._ingestion.keep()

    async def close(self) -> None:
        """Let go of everything; files that are half-way begin anew with the next process."""
        await self._embeddings.close()
        if self._library is not None:
            await self._library.close()
        if self._folder is not None:
            await asyncio.to_thread(self._folder.cleanup)


async def _library(
    directory: Path,
    clock: Clock,
    key: Callable[[str], bytes],
    embedder: Embedder,
    embeddings: Embeddings,
    settings: Settings,
) -> Library:
    dimensions = await _dimensions(directory, embedder, settings)

    def opened() -> Library:
        try:
            return Library(
                directory,
                dimensions=dimensions,
                largest=settings.similarity.max_file_bytes,
                milvus=settings.similarity.milvus,
                now=clock.time,
                key=key,
                batches=embeddings.batches,
            )
        except (LibraryError, OSError) as error:
            log.error("the vector stores in %s cannot be opened: %s", directory, error)
            raise GuardError(Denial("store_unavailable", retry_after_s=5.0)) from error

    return await asyncio.to_thread(opened)


async def _dimensions(directory: Path, embedder: Embedder, settings: Settings) -> int:
    """Of the model's vectors, as the directory has it or the model tells; a directory stays with its model."""
    model = settings.models[settings.similarity_model or ""].model
    file = directory / MODEL_FILE
    if await asyncio.to_thread(file.exists):
        kept = json.loads(await asyncio.to_thread(file.read_text))
        if kept["model"] != model:
            log.error(
                "the vector stores in %s were made with the model %s, and are not opened", directory, kept["model"]
            )
            raise GuardError(Denial("store_unavailable", retry_after_s=60.0))
        return int(kept["dimensions"])
    dimensions = len((await embedder([PROBE]))[0])

    def write() -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps({"model": model, "dimensions": dimensions}))
        draft.replace(file)

    await asyncio.to_thread(write)
    return dimensions
