"""`POST /v1/chat/completions`: what is sent upstream, and how the answer is written."""

from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from llmguard.errors import Denial, Refused
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import ChatChunk, Usage
from llmguard.wire.chunks import ChunkRenderer
from llmguard.wire.endpoint import Endpoint

LEFT_OUT: Final = (
    "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata", "store", "service_tier",
    "modalities",
)  # fmt: skip
REFUSED: Final = ("audio", "prediction", "web_search_options", "cache_salt")
NOTHING: Final = (None,) * (len(LEFT_OUT) + len(REFUSED))
_between_us = attrgetter(*LEFT_OUT, *REFUSED)


def to_model(asked: ChatRequest) -> ChatRequest:
    """The request without what is between the client and the guard alone; raises Refused.

    Left out: who the end user is, cache keys and labels, which would let one tenant touch
    another's. Refused: what the upstream would store, run or bill by itself.
    """
    if _between_us(asked) == NOTHING:
        return asked  # as nearly always
    for param, given in (
        *((name, getattr(asked, name) is not None) for name in REFUSED),
        ("store", bool(asked.store)),
        ("service_tier", asked.service_tier not in (None, "auto", "default")),
        ("modalities", asked.modalities is not None and asked.modalities != ["text"]),
    ):
        if given:
            raise Refused(Denial("parameter_not_allowed", f"'{param}' is not allowed here.", param=param))
    return replace(asked, **dict.fromkeys(LEFT_OUT))


class ChatRenderer(ChunkRenderer):
    """Writes `chat.completion` and `chat.completion.chunk`."""

    __slots__ = ()

    def usage_chunk(self, usage: Usage | None) -> ChatChunk:
        """A chunk without choices."""
        return ChatChunk(
            choices=[], id=f"chatcmpl-{self._ident}", created=self._created, model=self._model, usage=usage
        )


CHAT = Endpoint(
    name="chat",
    method="POST",
    path="/v1/chat/completions",
    summary="Chat with a model",
    request=ChatRequest,
    to_model=to_model,
    renderer=ChatRenderer,
)
