"""From a public model to an answer: attempts, and the models that stand in."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from llmguard.errors import Denial, UpstreamFailure
from llmguard.exchange import Exchange
from llmguard.mark import Mark
from llmguard.settings import Settings
from llmguard.upstreams import marked
from llmguard.upstreams.cache_partition import CachePartition
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.answer import Event
from llmguard.wire.engine_fields import foreign
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import PoolingAnswer, PoolingRequest

BACKOFF_S = 0.05

Answer = TypeVar("Answer")


class Forwarder:
    """Sends a request to its model, again where that can help, and to the model's fallbacks.

    Before the first byte of an answer only: what a client has begun to read is never
    begun anew. A request that a model calls invalid is not tried elsewhere. `failed(upstream, code)`
    is told of every attempt that failed.
    """

    def __init__(
        self,
        settings: Settings,
        upstreams: Mapping[str, Upstream],
        partition: CachePartition,
        failed: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self._partition = partition
        self._failed = failed

    async def ask(self, exchange: Exchange) -> Event:
        """The whole answer; raises UpstreamFailure, the last one."""
        return await self._first(
            (name, attempts, partial(marked.ask, self._upstreams[name], request, mark))
            for name, request, mark, attempts in self._chain(exchange)
        )

    async def pool(self, exchange: Exchange) -> PoolingAnswer:
        """The answer of a pooling model; raises UpstreamFailure, the last one."""
        return await self._first(
            (name, attempts, partial(self._upstreams[name].pool, request))
            for name, request, attempts in self._pooling_chain(exchange)
        )

    async def _first(self, calls: Iterable[tuple[str, int, Callable[[], Awaitable[Answer]]]]) -> Answer:
        """What the first of these calls answers, each made so many times."""
        failure: UpstreamFailure | None = None
        for name, attempts, call in calls:
            for attempt in range(attempts):
                try:
                    return await call()
                except UpstreamFailure as error:
                    failure = error
                self._failed(name, failure.denial.code)
                if not await _again(failure, attempt, attempts):
                    break
        raise failure or _nowhere()

    async def stream(self, exchange: Exchange) -> AsyncGenerator[list[Event], None]:
        """The chunks; raises UpstreamFailure, the last one before the first chunk, or the first after it."""
        failure: UpstreamFailure | None = None
        for name, request, mark, attempts in self._chain(exchange):
            for attempt in range(attempts):
                begun = False
                try:
                    async with aclosing(marked.stream(self._upstreams[name], request, mark)) as stream:
                        async for events in stream:
                            begun = True
                            yield events
                        return
                except UpstreamFailure as error:
                    failure = error
                self._failed(name, failure.denial.code)
                if begun:
                    raise failure
                if not await _again(failure, attempt, attempts):
                    break
        raise failure or _nowhere()

    def _chain(self, exchange: Exchange) -> Iterator[tuple[str, ModelRequest, Mark | None, int]]:
        """The upstream's name, the request under its own model name, the text's mark, and how often to try."""
        target, request = exchange.target, exchange.request
        if target is None or request is None:
            raise _nowhere()
        for public in (exchange.model, *target.fallbacks):
            model = target if public == exchange.model else self._settings.models[public]
            if model is not target and foreign(request, self._upstreams[model.upstream].extensions):
                continue  # a stand-in that would decode otherwise than was asked
            attempts = 1 + self._settings.upstreams[model.upstream].max_retries
            mark = exchange.marks.use(public) if exchange.marks is not None else None
            named = replace(request, model=model.model)
            yield model.upstream, self._partition(named, model.upstream, exchange.principal.tenant), mark, attempts

    def _pooling_chain(self, exchange: Exchange) -> Iterator[tuple[str, PoolingRequest, int]]:
        """The same of a request to a pooling model, which is not sampled: anything that stands in may answer it."""
        target, request = exchange.target, exchange.pooling
        if target is None or request is None:
            raise _nowhere()
        for model in (target, *(self._settings.models[public] for public in target.fallbacks)):
            attempts = 1 + self._settings.upstreams[model.upstream].max_retries
            yield model.upstream, replace(request, model=model.model), attempts


async def _again(failure: UpstreamFailure, attempt: int, attempts: int) -> bool:
    """Whether to try the same place again, after a pause that doubles; raises what nobody else can mend."""
    if failure.denial.row.status == 400:
        raise failure
    if not failure.retryable or attempt + 1 == attempts:
        return False
    await asyncio.sleep(BACKOFF_S * 2**attempt)
    return True


def _nowhere() -> UpstreamFailure:
    """No model to send it to: the exchange was not admitted by the controls that find one."""
    return UpstreamFailure(Denial("internal_error"), retryable=False)
