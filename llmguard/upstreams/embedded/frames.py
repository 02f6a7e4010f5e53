"""What the guard and its worker say to each other: msgpack in frames with a length in front."""

from typing import BinaryIO, TypeAlias

import msgspec

from llmguard.mark import Mark
from llmguard.upstreams.embedded.order import Order

LENGTH_BYTES = 4


class Frame(msgspec.Struct, frozen=True, tag=True):
    """The base of all frames."""


class Generate(Frame, frozen=True):
    """Guard to worker: generate. Answered by Pieces…, then Finished or Refused."""

    id: int
    order: Order
    mark: Mark | None = None


class Embed(Frame, frozen=True):
    """Guard to worker: embed. Answered by Vectors or Refused."""

    id: int
    texts: tuple[str, ...]


class Cancel(Frame, frozen=True):
    """Guard to worker: nobody waits for this any more. Nothing more is said about the id."""

    id: int


class Ready(Frame, frozen=True):
    """Worker to guard: the chat model is loaded."""


class Missing(Frame, frozen=True):
    """Worker to guard: packages are not installed, and the worker has ended."""

    message: str


class Piece(msgspec.Struct, frozen=True):
    """A piece of a choice's text; `finish` is set on its last."""

    index: int
    text: str
    finish: str | None = None


class Pieces(Frame, frozen=True):
    """Worker to guard: what one step gave, never nothing."""

    id: int
    pieces: tuple[Piece, ...]


class Finished(Frame, frozen=True):
    """Worker to guard: the order is done; the tokens it took, prompts counted once."""

    id: int
    prompt_tokens: int
    completion_tokens: int


class Vectors(Frame, frozen=True):
    """Worker to guard: one vector a text."""

    id: int
    vectors: tuple[tuple[float, ...], ...]


class Refused(Frame, frozen=True):
    """Worker to guard: it cannot be done. `code` is one of the error table."""

    id: int
    code: str
    message: str | None = None
    param: str | None = None


Request: TypeAlias = Generate | Embed
ToWorker: TypeAlias = Generate | Embed | Cancel
Reply: TypeAlias = Pieces | Finished | Vectors | Refused
FromWorker: TypeAlias = Reply | Ready | Missing


def packed(frame: Frame) -> bytes:
    """The frame with its length, big-endian, in front."""
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def read_request(pipe: BinaryIO) -> ToWorker | None:
    """The next frame for the worker; None at the pipe's end."""
    head = pipe.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    length = int.from_bytes(head, "big")
    body = pipe.read(length)
    return msgspec.msgpack.decode(body, type=ToWorker) if len(body) == length else None
