"""Samples of prompts for abuse review, where the settings ask for them."""

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange, Outcome
from llmguard.samples import Sample, Samples
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest

encode = msgspec.json.Encoder().encode


class Sampling(Step):
    """Keeps a share of the prompts, by chance alone: nobody can tell, or choose, which. Off without `samples`.

    Written after the answer has gone, in a thread. The audit line says so (`sampled`). A file that cannot be written
    is the operator's trouble, not the client's. `chance()` is uniform on [0, 1).
    """

    def __init__(self, samples: Samples | None, share: float, chance: Callable[[], float]) -> None:
        self._samples = samples
        self._share = share
        self._chance = chance

    @property
    def on_error(self) -> Literal["deny", "allow"]:
        """Allow: what is not kept harms nobody."""
        return "allow"

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Choose."""
        if self._samples is None or _prompt(exchange) is None or self._chance() >= self._share:
            return exchange
        return replace(exchange, sampled=True)

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Keep what was chosen."""
        prompt = _prompt(exchange)
        if not exchange.sampled or self._samples is None or prompt is None:
            return
        who = exchange.principal
        sample = Sample(
            request_id=exchange.id,
            at=float(exchange.created),
            key=who.key,
            user=who.user,
            tenant=who.tenant,
            policy=who.policy,
            endpoint=exchange.endpoint.name,
            model=exchange.model,
            prompt=encode(prompt).decode(),
        )
        await asyncio.to_thread(self._samples.add, sample)


def _prompt(exchange: Exchange) -> object:
    """What was said to the model; None where none is asked."""
    request = exchange.request
    if isinstance(request, ChatRequest):
        return request.messages
    if isinstance(request, CompletionRequest):
        return request.prompt
    return exchange.pooling.input if exchange.pooling is not None else None
