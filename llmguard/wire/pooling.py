"""Requests that a pooling model answers, with labels or vectors in place of text: `/v1/classify` and `/v1/embeddings`.

The shapes are vLLM's and OpenAI's. Inputs are text: token ids would pass by every look at the text.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from llmguard.wire.chat import Name
from llmguard.wire.chat_answer import Usage
from llmguard.wire.content_parts import Identifier

Input = str | Annotated[list[str], Meta(min_length=1, max_length=2048)]


class ClassifyRequest(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Texts to be labelled."""

    model: Name
    input: Input
    user: Identifier | None = None


class EmbeddingRequest(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Texts to be embedded."""

    model: Name
    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    user: Identifier | None = None


class Classification(Struct, kw_only=True):
    """What one text is: its likeliest label, and the probability of each class in the model's own order."""

    index: int
    label: str | None = None
    probs: list[float]
    num_classes: int = 0


class Classifications(Struct, kw_only=True):
    """One classification a text, in the texts' order."""

    id: str = ""
    object: str = "list"
    created: int = 0
    model: str = ""
    data: list[Classification]
    usage: Usage | None = None


class Embedding(Struct, kw_only=True):
    """The vector of one text; a string is its base64 (little-endian float32)."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class Embeddings(Struct, kw_only=True):
    """One vector a text, in the texts' order."""

    object: str = "list"
    data: list[Embedding]
    model: str = ""
    usage: Usage | None = None


PoolingRequest: TypeAlias = ClassifyRequest | EmbeddingRequest
PoolingAnswer: TypeAlias = Classifications | Embeddings


def texts(request: PoolingRequest) -> list[str]:
    """The inputs, one or many."""
    return [request.input] if isinstance(request.input, str) else request.input
