"""What an endpoint is on the wire: how its request is read and its answer written."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from llmguard.errors import Denial
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import Usage
from llmguard.wire.completions import CompletionRequest


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
    hex digits, the same for the whole exchange.
    """

    name: str
    method: str
    path: str
    summary: str
    request: type[msgspec.Struct] | None = None
    to_model: Callable[[Any], ChatRequest | CompletionRequest] | None = None
    renderer: Callable[[Any, str, int], Renderer] | None = None
