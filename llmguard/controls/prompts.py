"""Who asks by machine: prompts are watched, and a flagged key meets what its policy says."""

import asyncio
from collections.abc import Mapping
from typing import Final, Literal

from msgspec.structs import replace

from llmguard.clock import Clock
from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.quota.challenge import CHALLENGE, Challenges
from llmguard.quota.degrade import degraded
from llmguard.risk.desk import Desk
from llmguard.risk.meanwhile import NOTHING, Meanwhile
from llmguard.risk.response import Reply, reply
from llmguard.risk.sight import Asked, Memory, said, sight_of, site_of
from llmguard.risk.standing import NORMAL, Standings
from llmguard.settings import Settings
from llmguard.store.store import StoreUnavailable
from llmguard.upstreams.upstream import Upstream

INLINE_CHARACTERS: Final = 1200
"""Longer texts are read in a thread: a plain one of this length takes 0.1 ms, a hostile one 2 ms."""
PATIENCE_S: Final = 60.0
"""A block that lasts longer is none to wait for."""


class Prompts(Step):
    """Judges a request by what is held against its key, then hands its prompts in.

    The standing came with the quotas, so it stands behind them: what is refused here is given back there. Every block
    looks alike, whatever gave rise to it, and holds for the similarity services too. `mode: observe` and
    `automation: allowed` record, and refuse nothing.
    """

    def __init__(
        self,
        settings: Settings,
        desk: Desk | None,
        standings: Standings,
        meanwhile: Meanwhile,
        challenges: Challenges,
        upstreams: Mapping[str, Upstream],
        clock: Clock,
    ) -> None:
        self._models = settings.models
        self._observe = settings.mode == "observe"
        self._desk = desk
        self._standings = standings
        self._meanwhile = meanwhile
        self._challenges = challenges
        self._upstreams = upstreams
        self._clock = clock
        self._memory = Memory()

    @property
    def on_error(self) -> Literal["deny", "allow"]:
        """Deny: what cannot be judged is not served."""
        return "deny"

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Refuse, degrade or let pass."""
        prompts, request = exchange.policy.prompts, exchange.request or exchange.pooling
        key = exchange.principal.key
        asks = request is not None or exchange.endpoint.weight is not None
        if self._desk is None or not asks or prompts is None or not prompts.detect or not key:
            return exchange
        standing = self._standings.hear(key, exchange.note)
        refusal = None
        if standing is not NORMAL and prompts.automation == "watched":
            met = reply(standing, prompts.respond, self._clock.time())
            refusal = self._refusal(exchange, met)
            if met.degrade and not self._observe:
                exchange = degraded(exchange, self._models, self._upstreams) or exchange
        if request is not None and (refusal is None or refusal.code == "challenge_required" or self._observe):
            # Who does not do the work goes on being judged; a block ends when it was said to end.
            try:
                await self._hand_in(self._desk, exchange, request)
            except StoreUnavailable:
                return Denial("store_unavailable", retry_after_s=1.0)
        return refusal or exchange

    def _refusal(self, exchange: Exchange, met: Reply) -> Denial | None:
        if met.left_s is not None:
            return Denial("rate_limit_exceeded", retry_after_s=met.left_s, hopeless=met.left_s > PATIENCE_S)
        if met.difficulty is not None and not exchange.solved:
            challenge = self._challenges.issue(exchange.principal.key, met.difficulty)
            return Denial("challenge_required", headers=((CHALLENGE, challenge.encode()),))
        return None

    async def _hand_in(self, desk: Desk, exchange: Exchange, request: Asked) -> None:
        now, site = self._clock.time(), site_of(exchange.principal.ip)
        texts = [self._memory.newly(exchange.principal.key, whole) for whole in said(request)]
        if sum(map(len, texts)) <= INLINE_CHARACTERS:
            read = [desk.read(text) for text in texts]
        else:
            read = await asyncio.to_thread(lambda: [desk.read(text) for text in texts])
        sights = [sight_of(exchange, request, ids, site, now) for ids in read]
        happened = self._meanwhile.taken(exchange.principal.key, self._clock.monotonic())
        if sights and happened is not NOTHING:
            sights[0] = replace(sights[0], waits=happened.waits, answers=happened.answers)
        await desk.take(sights)
