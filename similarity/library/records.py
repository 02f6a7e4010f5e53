"""What the library keeps, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from similarity.setting import Content

Attribute: TypeAlias = str | float | bool
Attributes: TypeAlias = Mapping[str, Attribute]

ATTRIBUTES, NAME_CHARACTERS, VALUE_CHARACTERS = 16, 64, 512
LARGEST = float(1 << 53)
"""Numbers past it are not whole in every JSON reader; infinities and NaN are past it, too."""

PAGE = 100

T = TypeVar("T")


class NotFound(Exception):
    """There is no such thing of this tenant's; a thing of another's is none."""


class Invalid(Exception):
    """A value that the library does not take; `param` names it."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class Status(StrEnum):
    """How far a file is in a store."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Counts:
    """Files of a store by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class Store:
    """A vector store; times in whole seconds, `expires_days` counted from `active_at`."""

    id: str
    tenant: str
    name: str
    created_at: int
    active_at: int
    expires_days: int | None
    expires_at: int | None
    metadata: Mapping[str, str]
    share: str | None
    content: Content
    counts: Counts = Counts()
    usage_bytes: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file, without its bytes."""

    id: str
    tenant: str
    filename: str
    purpose: str
    created_at: int
    expires_at: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a file is cut, in tokens; `automatic` where the client left it open."""

    chunk_tokens: int = 800
    overlap_tokens: int = 400
    automatic: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a store; `error` is a reason for the client where it failed."""

    store: str
    file: str
    status: Status
    error: str | None
    created_at: int
    usage_bytes: int
    strategy: Strategy
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Addition:
    """A file that is to go into a store, how it is described and cut."""

    file: str
    attributes: Attributes
    strategy: Strategy = Strategy()


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Files that went into a store together; those taken out since no longer count."""

    id: str
    store: str
    created_at: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file, found."""

    id: int
    file: str
    filename: str
    text: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list."""

    items: Sequence[T]
    more: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part: `limit` items after or before the one with an id, newest first unless `ascending`."""

    limit: int = 20
    after: str | None = None
    before: str | None = None
    ascending: bool = False

    def __post_init__(self) -> None:
        """Raises Invalid for a page of no or too many items."""
        if not 1 <= self.limit <= PAGE:
            raise Invalid("limit", f"1 to {PAGE}")


def checked(attributes: Attributes) -> Attributes:
    """Attributes as OpenAI takes them: 16 of them, names of 64 characters, texts of 512, numbers or booleans.

    Raises Invalid for others.
    """
    if len(attributes) > ATTRIBUTES:
        raise Invalid("attributes", f"at most {ATTRIBUTES}")
    for name, value in attributes.items():
        if not 1 <= len(name) <= NAME_CHARACTERS:
            raise Invalid("attributes", f"names have 1 to {NAME_CHARACTERS} characters")
        if isinstance(value, str) and len(value) > VALUE_CHARACTERS:
            raise Invalid("attributes", f"values have at most {VALUE_CHARACTERS} characters")
        if not plain(value):
            raise Invalid("attributes", "values are texts, finite numbers or booleans")
    return dict(attributes)


def plain(value: object) -> bool:
    """Whether a value is one that an attribute may have."""
    return isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= LARGEST)


def stored(value: Attribute) -> str | float | bytes:
    """A value as SQLite keeps it; a boolean as a blob, so that it never equals a number."""
    if isinstance(value, bool):
        return b"\1" if value else b"\0"
    return value if isinstance(value, str) else float(value)
