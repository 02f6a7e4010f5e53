"""What an endpoint is on the wire: how its request is read and its answer written."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from llmguard.errors import Denial
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import Usage
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import PoolingAnswer, PoolingRequest
from llmguard.wire.weight import Weight


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
    """One route that reaches a model, or a service of the guard's own.

    `name` is what policies call it. `request` is the type of its body, None where it has
    none. `to_model` turns such a body into what is sent upstream, and raises Refused for what
    cannot be. `renderer(asked, ident, created)` makes the writer of one answer; `ident` is 32
    hex digits, the same for the whole exchange. `task` is that of the models which serve it. A pooling
    model's answer is written by `pooled(asked, answer)`.

    An endpoint without `to_model` is answered by a service: of a `query` instead of a body where it names one, of a
    multipart form where it is a `form`. What it takes of quotas is `weight(asked)`; without one it is free.
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
    query: type[msgspec.Struct] | None = None
    form: bool = False
    weight: Callable[[Any], Weight] | None = None

    def places(self, path: str) -> list[str]:
        """The values of the path's parameters, in order, in a path that is this endpoint's."""
        steps = zip(self.path.split("/"), path.split("/"), strict=False)
        return [given for step, given in steps if step.startswith("{")]
