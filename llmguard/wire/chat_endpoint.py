"""`POST /v1/chat/completions`: what is sent upstream, and how the answer is written."""

from msgspec.structs import replace

from llmguard.errors import Denial, Refused
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import ChatChunk, Usage
from llmguard.wire.chunks import ChunkRenderer
from llmguard.wire.endpoint import Endpoint


def to_model(asked: ChatRequest) -> ChatRequest:
    """The request without what is between the client and the guard alone; raises Refused.

    Left out: who the end user is, cache keys and labels, which would let one tenant touch
    another's. Refused: what the upstream would store, run or bill by itself.
    """
    for param, given in (
        ("audio", asked.audio is not None),
        ("prediction", asked.prediction is not None),
        ("web_search_options", asked.web_search_options is not None),
        ("cache_salt", asked.cache_salt is not None),
        ("store", bool(asked.store)),
        ("service_tier", asked.service_tier not in (None, "auto", "default")),
        ("modalities", asked.modalities is not None and asked.modalities != ["text"]),
    ):
        if given:
            raise Refused(Denial("parameter_not_allowed", f"'{param}' is not allowed here.", param=param))
    return replace(
        asked,
        user=None,
        safety_identifier=None,
        prompt_cache_key=None,
        prompt_cache_retention=None,
        metadata=None,
        store=None,
        service_tier=None,
        modalities=None,
    )


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
