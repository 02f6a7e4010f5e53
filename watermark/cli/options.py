"""What the command line says, as values."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watermark.keys.registry import Registry


@dataclass(frozen=True, slots=True)
class Detecting:
    """The options of `detect`."""

    paths: tuple[str, ...]
    tokenizer: str | None
    scheme: str | None
    keys: tuple[str, ...]
    registry: "Path | Registry | None"
    vllm_config: Path | None
    width: int | None
    vocabulary: int | None
    fpr: float
    reference: str | None
    field: str
    as_json: bool
    html: Path | None


@dataclass(frozen=True, slots=True)
class Issuing:
    """The options of `keys issue`."""

    tenant: str
    model: str
    tokenizer: str | None
    scheme: str
    width: int | None
    vocabulary: int | None
    unmarked: str | None
    secret: str


@dataclass(frozen=True, slots=True)
class Rotating:
    """The options of `keys rotate`."""

    unmarked: str | None
    tokenizer: str | None
    secret: str
