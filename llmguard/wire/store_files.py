"""Files in vector stores, one by one and in batches: how they are described, cut and shown."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from llmguard.wire.paging import Cursor, Limit, Listed

FileId = Annotated[str, Meta(min_length=1, max_length=64)]
Attributes: TypeAlias = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)],
        Annotated[str, Meta(max_length=512)]
        | Annotated[int, Meta(ge=-(2**53), le=2**53)]
        | Annotated[float, Meta(ge=-(2.0**53), le=2.0**53)]
        | bool,
    ],
    Meta(max_length=16),
]
FileStatus = Literal["in_progress", "completed", "failed", "cancelled"]


class Cut(Struct, forbid_unknown_fields=True, frozen=True):
    """Pieces of so many tokens, each beginning so many before the last one's end."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0, le=2048)]

    def __post_init__(self) -> None:
        """Rules that bind two fields."""
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            raise ValueError("`chunk_overlap_tokens` must be at most half of `max_chunk_size_tokens`")


class AutoStrategy(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="auto"):
    """The guard's own choice."""


class StaticStrategy(Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="static"):
    """The client's."""

    static: Cut


ChunkingStrategy: TypeAlias = AutoStrategy | StaticStrategy


class FileAttach(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A file that goes into a store."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class FileUpdate(Struct, forbid_unknown_fields=True, frozen=True):
    """Its attributes, anew."""

    attributes: Attributes | None


class BatchCreate(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Files that go in together: all alike (`file_ids`), or each with its own description (`files`)."""

    file_ids: Annotated[list[FileId], Meta(min_length=1, max_length=2000)] | None = None
    files: Annotated[list[FileAttach], Meta(min_length=1, max_length=2000)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None

    def __post_init__(self) -> None:
        """Rules that bind two fields."""
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("`file_ids` or `files` must be given, and not both")


class StoreFilesQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which part of the list of a store's files."""

    limit: Limit = 20
    order: Literal["asc", "desc"] = "desc"
    after: Cursor | None = None
    before: Cursor | None = None
    filter: FileStatus | None = None


class Counts(Struct, frozen=True, kw_only=True):
    """Files by status."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class LastError(Struct, frozen=True):
    """Why a file cannot be searched."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class StoreFile(Struct, frozen=True, kw_only=True):
    """A file of a store as OpenAI shows it."""

    id: str
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: FileStatus
    last_error: LastError | None = None
    attributes: dict[str, str | int | float | bool]
    chunking_strategy: StaticStrategy
    object: Literal["vector_store.file"] = "vector_store.file"


class StoreFileList(Listed, frozen=True, kw_only=True):
    """Some of a store's files."""

    data: list[StoreFile]


class StoreFileDeleted(Struct, frozen=True):
    """A file that is no longer in a store; the file itself stays."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


class Text(Struct, frozen=True):
    """A piece of text."""

    text: str
    type: Literal["text"] = "text"


class StoreFileContent(Struct, frozen=True, kw_only=True):
    """What of a file is searched, piece by piece."""

    data: list[Text]
    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    has_more: bool = False
    next_page: str | None = None


class FileBatch(Struct, frozen=True, kw_only=True):
    """Files that went in together."""

    id: str
    created_at: int
    vector_store_id: str
    status: FileStatus
    file_counts: Counts
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
