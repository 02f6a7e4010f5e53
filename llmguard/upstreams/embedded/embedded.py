"""The models that ship with the guard, as an upstream: a queue before one worker process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from llmguard.clock import Clock, SystemClock
from llmguard.decoding.engines import ENGINES
from llmguard.errors import Denial, UpstreamFailure
from llmguard.mark import Mark
from llmguard.settings import EmbeddedUpstream
from llmguard.upstreams.embedded.answer import shape_of, usage_of
from llmguard.upstreams.embedded.counting import EmbeddedCounter
from llmguard.upstreams.embedded.frames import Embed, Finished, Generate, Pieces, Refused, Reply, Request, Vectors
from llmguard.upstreams.embedded.line import Line
from llmguard.upstreams.embedded.order import order_of
from llmguard.upstreams.embedded.process import Worker
from llmguard.upstreams.upstream import TokenCounter
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import Usage
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import Embedding, EmbeddingRequest, Embeddings, PoolingAnswer, PoolingRequest, texts

EMBEDDING_MODEL = "all-minilm-l6-v2"


class Embedded:
    """The embedded models: chat and text completions one at a time, and sentence vectors.

    No failure here is retryable: the one worker would meet the same work in the same state.
    """

    extensions = ENGINES["embedded"].fields

    def __init__(self, settings: EmbeddedUpstream, *, cache: Path, clock: Clock | None = None) -> None:
        self._timeout_s = settings.timeout_s
        self._cache = cache
        self._worker = Worker(cache)
        self._counter: EmbeddedCounter | None = None
        self._answers = Line(settings.max_queue, clock or SystemClock())
        self._vectors = Line(settings.max_queue, clock or SystemClock())

    @property
    def counter(self) -> TokenCounter | None:
        """The chat model's tokenizer, once the model is loaded."""
        return self._counter

    @property
    def ready(self) -> bool:
        """Whether the chat model is loaded and the worker alive, and its tokens can be counted."""
        return self._worker.ready and self._counter is not None

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._worker.pid

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._answers.waiting

    async def start(self) -> None:
        """Start the worker and wait until the chat model is loaded; raises CannotStart."""
        await self._worker.start()
        # The worker has written the tokenizer's file by now. Reading it takes a tenth of a second.
        self._counter = await asyncio.to_thread(EmbeddedCounter, self._cache)

    async def close(self) -> None:
        """End the worker."""
        await self._worker.close()

    async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Event:
        """The whole answer; `timeout_s` bounds waiting and work together."""
        order = order_of(request)
        texts, finishes = [""] * order.choices, [""] * order.choices
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        async with self._call(self._answers, lambda id_: Generate(id_, order, mark), deadline) as replies:
            while True:
                reply = await _next(replies, deadline)
                if isinstance(reply, Finished):
                    return shape_of(request).whole(texts, finishes, usage_of(reply))
                if isinstance(reply, Pieces):
                    for piece in reply.pieces:
                        texts[piece.index] += piece.text
                        finishes[piece.index] = piece.finish or ""

    async def stream(self, request: ModelRequest, mark: Mark | None = None) -> AsyncGenerator[list[Event], None]:
        """The chunks as they are generated; `timeout_s` bounds the wait, and then every gap."""
        order, shape = order_of(request), shape_of(request)
        now = asyncio.get_running_loop().time
        begun = False
        wanted = now() + self._timeout_s
        async with self._call(self._answers, lambda id_: Generate(id_, order, mark), wanted) as replies:
            while True:
                reply = await _next(replies, now() + self._timeout_s)
                opening = [] if begun else shape.opening(order.choices)
                begun = True
                if isinstance(reply, Finished):
                    yield [*opening, shape.closing(usage_of(reply))]
                    return
                if isinstance(reply, Pieces):
                    yield [*opening, *shape.chunks(reply.pieces)]

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """Vectors of L2 norm 1; labels are not this model's."""
        if not isinstance(request, EmbeddingRequest) or request.model != EMBEDDING_MODEL:
            raise UpstreamFailure(Denial("model_not_found", param="model"), retryable=False)
        asked = texts(request)
        vectors = await self.embed(asked)
        if len(vectors) != len(asked):
            raise UpstreamFailure(Denial("upstream_error"), retryable=False)
        read = self._counter.prompt(request) if self._counter is not None else None
        return Embeddings(
            data=[Embedding(index=place, embedding=vector) for place, vector in enumerate(vectors)],
            usage=Usage(prompt_tokens=read, total_tokens=read) if read is not None else None,
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of 384 dimensions and L2 norm 1 for each text (all-MiniLM-L6-v2)."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        async with self._call(self._vectors, lambda id_: Embed(id_, tuple(texts)), deadline) as replies:
            reply = await _next(replies, deadline)
            return [list(vector) for vector in reply.vectors] if isinstance(reply, Vectors) else []

    @asynccontextmanager
    async def _call(
        self, line: Line, request: Callable[[int], Request], deadline: float
    ) -> AsyncIterator[AsyncGenerator[Reply, None]]:
        """Wait for a turn and a living worker until `deadline` (loop time), then send the request."""
        async with line.turn(deadline) as end_turn:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._worker.wait_ready()
            except TimeoutError as error:
                raise line.overloaded() from error
            async with aclosing(self._worker.converse(request, end_turn)) as replies:
                yield replies


async def _next(replies: AsyncGenerator[Reply, None], deadline: float) -> Reply:
    """The next reply; raises UpstreamFailure where it is a refusal or does not come by `deadline`."""
    try:
        async with asyncio.timeout_at(deadline):
            reply = await anext(replies)
    except TimeoutError as error:
        raise UpstreamFailure(Denial("upstream_timeout"), retryable=False) from error
    if isinstance(reply, Refused):
        raise UpstreamFailure(Denial(reply.code, reply.message, reply.param), retryable=False)
    return reply
