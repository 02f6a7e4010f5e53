"""`/v1/vector_stores`: stores of texts that are searched by meaning."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from llmguard.wire.paging import Listed
from llmguard.wire.store_files import ChunkingStrategy, Counts, FileId

Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
StoreName = Annotated[str, Meta(max_length=256)]


class ExpiresAfter(Struct, forbid_unknown_fields=True, frozen=True):
    """A store that is not used for so long is deleted."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class StoreCreate(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A new store. `llmguard.share` among the metadata opens it for search, `llmguard.content` may hide its texts."""

    name: StoreName | None = None
    description: Annotated[str, Meta(max_length=512)] | None = None
    file_ids: Annotated[list[FileId], Meta(max_length=2000)] | None = None
    chunking_strategy: ChunkingStrategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class StoreUpdate(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What of a store changes."""

    name: StoreName | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class VectorStore(Struct, frozen=True, kw_only=True):
    """A store as OpenAI shows it."""

    id: str
    created_at: int
    name: str
    description: str | None = None
    usage_bytes: int
    file_counts: Counts
    status: Literal["in_progress", "completed"]
    expires_after: ExpiresAfter | None = None
    expires_at: int | None = None
    last_active_at: int
    metadata: dict[str, str]
    object: Literal["vector_store"] = "vector_store"


class VectorStoreList(Listed, frozen=True, kw_only=True):
    """Some stores."""

    data: list[VectorStore]


class VectorStoreDeleted(Struct, frozen=True):
    """A store that is no more."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True
