"""The library's values as the wire shows them, and the wire's as the library takes them."""

from llmguard.errors import Denial, Refused
from llmguard.services.ingestion import SERVER_ERROR
from llmguard.wire.files import FileObject, FilesQuery
from llmguard.wire.paging import PageQuery
from llmguard.wire.store_files import (
    AutoStrategy,
    ChunkingStrategy,
    Counts,
    FileBatch,
    LastError,
    StaticStrategy,
    StoreFile,
    StoreFilesQuery,
)
from llmguard.wire.store_files import Cut as Pieces
from llmguard.wire.vector_stores import ExpiresAfter, VectorStore
from similarity.chunking import strategy
from similarity.extraction.extract import UNSUPPORTED
from similarity.library.records import Counts as Counted
from similarity.library.records import Cut, Entry, File, Status, Store, Strategy
from similarity.library.records import FileBatch as Batch


def cut(query: PageQuery | FilesQuery | StoreFilesQuery) -> Cut:
    """Which part of a list; raises Refused where it is asked for both ways."""
    if query.after is not None and query.before is not None:
        raise Refused(Denial("invalid_value", "'before' cannot be given with 'after'.", param="before"))
    return Cut(query.limit, query.after, query.before, ascending=query.order == "asc")


def pieces(given: ChunkingStrategy | None) -> Strategy:
    """How a file is to be cut."""
    if given is None or isinstance(given, AutoStrategy):
        return Strategy()
    return strategy(given.static.max_chunk_size_tokens, given.static.chunk_overlap_tokens)


def counts(found: Counted) -> Counts:
    """Files by status."""
    return Counts(
        in_progress=found.in_progress,
        completed=found.completed,
        failed=found.failed,
        cancelled=found.cancelled,
        total=found.total,
    )


def store(found: Store) -> VectorStore:
    """A store."""
    days = found.expires_days
    return VectorStore(
        id=found.id,
        created_at=found.created_at,
        name=found.name,
        description=found.description or None,
        usage_bytes=found.usage_bytes,
        file_counts=counts(found.counts),
        status="in_progress" if found.counts.in_progress else "completed",
        expires_after=None if days is None else ExpiresAfter("last_active_at", days),
        expires_at=found.expires_at,
        last_active_at=found.active_at,
        metadata=dict(found.metadata),
    )


def file(found: File) -> FileObject:
    """A file."""
    return FileObject(
        id=found.id,
        bytes=found.bytes,
        created_at=found.created_at,
        filename=found.filename,
        purpose=found.purpose,
        expires_at=found.expires_at,
    )


def entry(found: Entry) -> StoreFile:
    """A file of a store."""
    return StoreFile(
        id=found.file,
        created_at=found.created_at,
        vector_store_id=found.store,
        usage_bytes=found.usage_bytes,
        status=found.status.value,
        last_error=None if found.error is None else _error(found.error),
        attributes=dict(found.attributes),
        chunking_strategy=StaticStrategy(Pieces(found.strategy.chunk_tokens, found.strategy.overlap_tokens)),
    )


def batch(found: Batch) -> FileBatch:
    """A batch; done once all of its files are, or have been left out."""
    ended = Status.CANCELLED if found.counts.cancelled else Status.COMPLETED
    return FileBatch(
        id=found.id,
        created_at=found.created_at,
        vector_store_id=found.store,
        status=Status.IN_PROGRESS.value if found.counts.in_progress else ended.value,
        file_counts=counts(found.counts),
    )


def status(asked: StoreFilesQuery) -> Status | None:
    """The status that is asked for."""
    return None if asked.filter is None else Status(asked.filter)


def _error(reason: str) -> LastError:
    if reason == SERVER_ERROR:
        return LastError("server_error", reason)
    return LastError("unsupported_file" if reason == UNSUPPORTED else "invalid_file", reason)
