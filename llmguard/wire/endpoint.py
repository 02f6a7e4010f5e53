"""What an endpoint is on the wire: how its request is read and its answer written."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from llmguard.errors import Denial
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import Usage
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import PoolingAnswer, PoolingRequest


class Renderer(Protocol):
    """Writes one answer. A new one for every exchange, so it may keep state."""

    def whole(self, event: Event) -> bytes:
        """The body of an answer that is not streamed."""
        ...

    def chunks(self, events: Sequence[Event]) -> bytes:
        """The frames for these chunks; their `usage` has been taken out."""
        ...

    def end(self, usage: Usage | None) -> bytes:
        """The last frames of a stream that ended well."""
        ...

    def error(self, denial: Denial) -> bytes:
        """The last frame of a stream that broke."""
        ...


class Endpoint(msgspec.Struct, frozen=True):
    """One route that reaches a model, or lists them.

    `name` is what policies call it. `request` is the type of its body, None where it has
    none. `to_model` turns such a body into what is sent upstream, and raises Refused for what
    cannot be. `renderer(asked, ident, created)` makes the writer of one answer; `ident` is 32
    hex digits, the same for the whole exchange. `task` is that of the models which serve it. A pooling
    model's answer is written by `pooled(asked, answer)`.
    """

    name: str
    method: str
    path: str
    summary: str
    request: type[msgspec.Struct] | None = None
    to_model: Callable[[Any], ModelRequest | PoolingRequest] | None = None
    renderer: Callable[[Any, str, int], Renderer] | None = None
    pooled: Callable[[Any, PoolingAnswer], bytes] | None = None
    task: Literal["chat", "embedding", "classify"] = "chat"
