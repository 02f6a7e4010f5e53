"""What an upstream is: one kind of model server, one file."""

from collections.abc import AsyncGenerator
from typing import Protocol

from llmguard.mark import Mark
from llmguard.wire.answer import Event
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import PoolingAnswer, PoolingRequest


class TokenCounter(Protocol):
    """The model's own tokenizer."""

    def prompt(self, request: ModelRequest | PoolingRequest) -> int | None:
        """The tokens that the model will read, exactly; None for a request that it will refuse."""
        ...

    def text(self, text: str) -> int:
        """The tokens of a text that it wrote."""
        ...


class Upstream(Protocol):
    """A place where models run.

    All calls take a request whose `model` is the upstream's own name for it, answer in
    OpenAI's shapes, and raise UpstreamFailure and nothing else. Cancelling `ask`, or closing
    the generator of `stream`, ends the work upstream: the connection is closed, the
    generation stopped. Ids, model names and texts of errors are the upstream's; the guard
    replaces them.

    A mark is of a format that `llmguard.mark.format_of` says this upstream knows; None marks nothing.
    """

    @property
    def extensions(self) -> frozenset[str]:
        """Request fields beyond OpenAI's that this upstream understands, such as `top_k`."""
        ...

    @property
    def counter(self) -> TokenCounter | None:
        """The tokenizer of its models, where it is here and loaded."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a request would be served now, rather than wait for a model to be loaded."""
        ...

    async def start(self) -> None:
        """Load what takes long. The guard listens meanwhile, and is not ready."""
        ...

    async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Event:
        """The whole answer: ChatCompletion for a ChatRequest, Completion for a CompletionRequest."""
        ...

    def stream(self, request: ModelRequest, mark: Mark | None = None) -> AsyncGenerator[list[Event], None]:
        """The chunks, in lists: each list is what arrived together and is never empty.

        Ends normally only when the upstream ended its answer. Usage is asked for always and
        comes on a chunk (on one without choices, where the upstream follows OpenAI).
        """
        ...

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """One label, or one vector, a text, in the texts' order; vectors as lists of finite numbers."""
        ...

    async def close(self) -> None:
        """Release connections and processes."""
        ...
