"""How OpenAI's older endpoints write an answer: one JSON body, or data frames up to `[DONE]`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from llmguard.errors import Denial
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import Usage
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.errors import error_body

DONE = b"data: [DONE]\n\n"

encode = msgspec.json.Encoder().encode


class ChunkRenderer(ABC):
    """Writes a chat answer or a text completion.

    With `stream_options.include_usage` every chunk carries `usage: null` and one last chunk
    without choices carries the figures; without it no chunk mentions usage.
    """

    __slots__ = ("_created", "_ident", "_model", "_with_usage")

    def __init__(self, asked: ChatRequest | CompletionRequest, ident: str, created: int) -> None:
        self._with_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
        self._ident = ident
        self._created = created
        self._model = asked.model

    def whole(self, event: Event) -> bytes:
        """The body."""
        return encode(event)

    def chunks(self, events: Sequence[Event]) -> bytes:
        """A frame for each chunk."""
        usage = None if self._with_usage else UNSET
        frames = []
        for event in events:
            event.usage = usage
            frames.append(b"data: " + encode(event) + b"\n\n")
        return b"".join(frames)

    def end(self, usage: Usage | None) -> bytes:
        """The usage chunk, if it was asked for, and `[DONE]`."""
        if not self._with_usage:
            return DONE
        return b"data: " + encode(self.usage_chunk(usage)) + b"\n\n" + DONE

    def error(self, denial: Denial) -> bytes:
        """A frame that every OpenAI SDK raises as an APIError."""
        return b"data: " + error_body(denial) + b"\n\n"

    @abstractmethod
    def usage_chunk(self, usage: Usage | None) -> Event:
        """A chunk without choices."""
