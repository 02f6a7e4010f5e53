"""Files on their way into stores: nothing stays in progress, whatever fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from llmguard.clock import SystemClock
from llmguard.services.ingestion import MAINTAIN_S, SERVER_ERROR, TRIES, Ingestion
from llmguard.services.library import Embeddings, Library
from similarity.library.database import LibraryError
from similarity.library.records import Status, Strategy
from tests.fakes.clock import FakeClock
from tests.similarity.whole import DIMENSIONS, embedded

pytestmark = pytest.mark.anyio


class Words:
    """Texts to vectors; fails so many times first."""

    def __init__(self) -> None:
        self.failures = 0
        self.asked: list[list[str]] = []

    async def __call__(self, texts: list[str]) -> list[list[float]]:
        self.asked.append(list(texts))
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the model is down")
        return [row.tolist() for row in embedded(texts)]


class Made:
    """A library, its worker, and a clock that runs as it is asked to wait."""

    def __init__(self, directory: Path) -> None:
        self.words = Words()
        self.embeddings = Embeddings(self.words)  # type: ignore[arg-type]
        self.clock = FakeClock()
        self.library = Library(
            directory,
            dimensions=DIMENSIONS,
            largest=1 << 20,
            milvus=None,
            now=self.clock.time,
            key=lambda purpose: purpose.encode().ljust(32, b"-")[:32],
            batches=self.embeddings.batches,
        )
        self.ingestion = Ingestion(self.library, self.clock)

    def put(self, tenant: str, text: str, store: str | None = None) -> tuple[str, str]:
        """A file that waits, by its store and id."""
        store = store or self.library.stores.create(tenant).id
        file = self.library.files.create(tenant, "a.txt", text.encode()).id
        self.library.entries.attach(tenant, store, file, {}, Strategy())
        self.ingestion.poke()
        return store, file

    async def done(self, tenant: str, store: str, file: str) -> tuple[Status, str | None]:
        """How a file ended."""
        async with asyncio.timeout(20):
            while (entry := self.library.entries.get(tenant, store, file)).status is Status.IN_PROGRESS:
                await asyncio.sleep(0.005)
        return entry.status, entry.error


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    """Opened, and let go of."""
    found = Made(tmp_path / "library")
    yield found
    await found.embeddings.close()
    await found.library.close()


async def working(made: Made, tenant: str, store: str, file: str) -> tuple[Status, str | None]:
    """How a file ends under the worker."""
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(made.ingestion.keep())
        found = await made.done(tenant, store, file)
        keeping.cancel()
    return found


async def test_a_file_that_waited_before_the_start_is_worked_on(made: Made) -> None:
    store, file = made.put("acme", "red dog")
    assert await working(made, "acme", store, file) == (Status.COMPLETED, None)


async def test_a_model_that_fails_is_asked_again_later(made: Made) -> None:
    made.words.failures = 3
    store, file = made.put("acme", "red dog")
    assert await working(made, "acme", store, file) == (Status.COMPLETED, None)
    assert made.clock.monotonic() >= 1 + 2 + 4


async def test_files_that_wait_to_be_tried_again_are_left_alone_meanwhile(tmp_path: Path) -> None:
    """By the real clock: nobody looks for them again and again."""
    made = Made(tmp_path / "library")
    made.ingestion = Ingestion(made.library, SystemClock())
    made.words.failures = 1000
    for text in ("red dog", "blue dog", "green dog"):
        made.put("acme", text)
    turns, looks = made.library.entries.turns, list[int]()

    def looked() -> list[int]:
        looks.append(1)
        return turns()

    with patch.object(made.library.entries, "turns", looked):
        keeping = asyncio.ensure_future(made.ingestion.keep())
        await asyncio.sleep(0.6)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    await made.embeddings.close()
    await made.library.close()
    assert len(made.words.asked) >= 1
    assert len(looks) < 100


async def test_a_model_that_stays_down_ends_the_file_with_a_reason(made: Made) -> None:
    made.words.failures = 1000
    store, file = made.put("acme", "red dog")
    assert await working(made, "acme", store, file) == (Status.FAILED, SERVER_ERROR)
    assert len(made.words.asked) == TRIES


@contextmanager
def full(made: Made, times: int) -> Iterator[None]:
    """A disk that is full when a file is to be completed, so often."""
    left, complete = [times], made.library.entries.complete

    def completing(*given: object) -> object:
        if left[0]:
            left[0] -= 1
            raise LibraryError("the library's file cannot be read or written")
        return complete(*given)  # type: ignore[arg-type]

    with patch.object(made.library.entries, "complete", completing):
        yield


async def test_a_full_disk_loses_nothing(made: Made) -> None:
    store, file = made.put("acme", "red dog")
    with full(made, 2):
        assert await working(made, "acme", store, file) == (Status.COMPLETED, None)
    assert len(made.library.entries.held("acme", store, file)) == 1


async def test_a_tenants_many_files_do_not_keep_anothers_one_waiting(made: Made) -> None:
    store = made.library.stores.create("acme").id
    many = [made.put("acme", f"file {at}", store) for at in range(12)]
    late = made.put("other", "red dog")
    last, begin, begun = max(made.library.entries.pending()), made.library.begin, list[int]()

    def beginning(entry: int) -> "asyncio.Future[int | None]":
        begun.append(entry)
        return begin(entry)

    with patch.object(made.library, "begin", beginning):
        assert await working(made, "other", *late) == (Status.COMPLETED, None)
    assert begun[1] == last
    assert await working(made, "acme", *many[-1]) == (Status.COMPLETED, None)


async def test_what_has_expired_is_deleted_and_indexes_are_kept(made: Made, tmp_path: Path) -> None:
    kept, file = made.put("acme", "red dog")
    made.library.stores.create("acme", expires_days=1)
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        keeping = group.create_task(made.ingestion.keep())
        await made.done("acme", kept, file)
        made.clock.advance(86_400)
        while not list((tmp_path / "library" / "indexes").glob("*.snapshot")):
            made.clock.advance(MAINTAIN_S)
            await made.ingestion.tidy()
        keeping.cancel()
    assert made.library.stores.numbers() == {made.library.stores.open("acme", kept, "").number}
