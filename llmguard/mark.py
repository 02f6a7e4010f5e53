"""The mark that an answer is to carry, on its way from the control to whatever samples.

A format is one of the watermark library's schemes, by its name there.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from llmguard.settings import AnyUpstream, EmbeddedUpstream, OpenAIUpstream

VLLM, SGLANG = "gumbel-vllm", "gumbel-sglang"

FORMATS: Final[Mapping[str, tuple[str, ...]]] = {"gumbel": (VLLM, SGLANG)}
"""The formats of a policy's scheme, the better one first: of a key all 64 bits count with Philox, 32 with murmur3."""

SGLANG_WIDTH: Final = 4
"""SGLang's context has this width, whatever a policy says."""

EMBEDDED: Final = frozenset({VLLM})
ENGINES: Final = {"sglang": frozenset({SGLANG})}


class Mark(msgspec.Struct, frozen=True):
    """A format with a key of 64 bits, which is secret."""

    key_id: str
    scheme: str
    width: int
    key: int

    def __repr__(self) -> str:
        return f"Mark({self.key_id}, {self.scheme})"


class Marks:
    """The marks of one exchange by public model, and the one that is in use: a fallback has its own."""

    __slots__ = ("by_model", "used")

    def __init__(self, by_model: Mapping[str, Mark]) -> None:
        self.by_model = by_model
        self.used: Mark | None = None

    def use(self, model: str) -> Mark | None:
        """The mark of the model that is about to be asked."""
        self.used = self.by_model.get(model)
        return self.used


def format_of(scheme: str, upstream: AnyUpstream) -> str | None:
    """The format in which an upstream marks, request by request, for a policy's scheme; None where it cannot."""
    able: frozenset[str] = frozenset()
    if isinstance(upstream, EmbeddedUpstream):
        able = EMBEDDED
    elif isinstance(upstream, OpenAIUpstream):
        able = ENGINES.get(upstream.engine, able)
    return next((name for name in FORMATS.get(scheme, ()) if name in able), None)
