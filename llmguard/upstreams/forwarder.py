"""From a public model to an answer: attempts, and the models that stand in."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing

from msgspec.structs import replace

from llmguard.errors import Denial, UpstreamFailure
from llmguard.exchange import Exchange
from llmguard.mark import Mark
from llmguard.settings import Settings
from llmguard.upstreams.cache_partition import CachePartition
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.answer import Event
from llmguard.wire.engine_fields import foreign
from llmguard.wire.model_request import ModelRequest

BACKOFF_S = 0.05


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
        failure: UpstreamFailure | None = None
        for name, request, mark, attempts in self._chain(exchange):
            for attempt in range(attempts):
                try:
                    return await self._upstreams[name].ask(request, mark)
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
                    async with aclosing(self._upstreams[name].stream(request, mark)) as stream:
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
