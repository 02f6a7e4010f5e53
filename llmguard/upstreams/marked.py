"""Asking an upstream for an answer that bears a mark: the engine leaves it, or what is asked and given makes it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llmguard.mark import SELECTION, UNIGRAM, Mark
from llmguard.upstreams import selection
from llmguard.upstreams.biasing import biased
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.answer import Event
from llmguard.wire.model_request import ModelRequest


async def ask(upstream: Upstream, request: ModelRequest, mark: Mark | None) -> Event:
    """The whole answer; raises UpstreamFailure."""
    if mark is not None and mark.scheme == SELECTION:
        return await selection.ask(upstream, request, mark)
    if mark is not None and mark.scheme == UNIGRAM:
        return await upstream.ask(await biased(request, mark))
    return await upstream.ask(request, mark)


async def stream(upstream: Upstream, request: ModelRequest, mark: Mark | None) -> AsyncGenerator[list[Event], None]:
    """The chunks; raises UpstreamFailure."""
    if mark is not None and mark.scheme == SELECTION:
        source = selection.stream(upstream, request, mark)
    elif mark is not None and mark.scheme == UNIGRAM:
        source = upstream.stream(await biased(request, mark))
    else:
        source = upstream.stream(request, mark)
    async with aclosing(source) as events:
        async for some in events:
            yield some
