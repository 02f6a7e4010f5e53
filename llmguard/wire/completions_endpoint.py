"""`POST /v1/completions`: what is sent upstream, and how the answer is written."""

from msgspec.structs import replace

from llmguard.errors import Denial, Refused
from llmguard.wire.chat_answer import Usage
from llmguard.wire.chunks import ChunkRenderer
from llmguard.wire.completions import Completion, CompletionRequest
from llmguard.wire.endpoint import Endpoint


def to_model(asked: CompletionRequest) -> CompletionRequest:
    """The request without the end user's name, which is between the client and the guard alone; raises Refused."""
    if asked.cache_salt is not None:
        raise Refused(Denial("parameter_not_allowed", "'cache_salt' is not allowed here.", param="cache_salt"))
    return replace(asked, user=None)


class CompletionRenderer(ChunkRenderer):
    """Writes `text_completion`, whole or in pieces."""

    __slots__ = ()

    def usage_chunk(self, usage: Usage | None) -> Completion:
        """A piece without choices."""
        return Completion(choices=[], id=f"cmpl-{self._ident}", created=self._created, model=self._model, usage=usage)


COMPLETIONS = Endpoint(
    name="completions",
    method="POST",
    path="/v1/completions",
    summary="Complete a text",
    request=CompletionRequest,
    to_model=to_model,
    renderer=CompletionRenderer,
)
