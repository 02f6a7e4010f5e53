"""`/v1/files`: what is uploaded to go into vector stores."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from llmguard.wire.paging import Cursor, Limit, Listed

Purpose = Literal["assistants", "user_data"]
"""What a file may be for: those of other purposes would be read by nothing here."""

LEAST_S, MOST_S = 3600, 2_592_000


class UploadedFile(Struct, frozen=True):
    """A part of a form that holds a file."""

    filename: Annotated[str, Meta(min_length=1, max_length=255)]
    content: bytes


class FileUpload(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The form of an upload; what is nested in it is spelled with brackets, as OpenAI's clients do."""

    file: UploadedFile
    purpose: Purpose
    anchor: Literal["created_at"] | None = field(default=None, name="expires_after[anchor]")
    seconds: Annotated[int, Meta(ge=LEAST_S, le=MOST_S)] | None = field(default=None, name="expires_after[seconds]")

    def __post_init__(self) -> None:
        """Rules that bind two fields."""
        if (self.anchor is None) != (self.seconds is None):
            raise ValueError("`expires_after` has an anchor and seconds")


class FilesQuery(Struct, forbid_unknown_fields=True, frozen=True):
    """Which part of the list of files."""

    limit: Limit = 100
    order: Literal["asc", "desc"] = "desc"
    after: Cursor | None = None
    before: Cursor | None = None
    purpose: Purpose | None = None


class FileObject(Struct, frozen=True, kw_only=True):
    """A file as OpenAI shows it."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    expires_at: int | None = None
    object: Literal["file"] = "file"
    status: Literal["processed"] = "processed"


class FileList(Listed, frozen=True, kw_only=True):
    """Some files."""

    data: list[FileObject]


class FileDeleted(Struct, frozen=True):
    """A file that is no more."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True
