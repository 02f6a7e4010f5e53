"""Quotas: nobody spends more than a limit gives."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from llmguard.clock import Clock
from llmguard.control import Step
from llmguard.counters import Counters
from llmguard.errors import Denial
from llmguard.exchange import Exchange, Outcome, Principal
from llmguard.metrics import Metrics
from llmguard.quota.challenge import CHALLENGE, LIFETIME_S, Challenges
from llmguard.quota.degrade import degraded
from llmguard.quota.needs import (
    COMPLETION_TOKENS,
    Needs,
    Prices,
    cap,
    capped,
    choices_of,
    input_bound,
    needs,
    picker,
    pooling_needs,
)
from llmguard.quota.reservation import Reservation
from llmguard.quota.rule import MEASURES, Rule
from llmguard.quota.rules import Applied, Rules
from llmguard.risk.meanwhile import Meanwhile
from llmguard.risk.response import reply
from llmguard.risk.standing import NORMAL, Standings, subject
from llmguard.settings import Settings
from llmguard.settings_policies import Decoding, Outputs
from llmguard.store.ledger import Charge, Charges, Counter, Ledger, Receipt
from llmguard.store.store import StoreUnavailable
from llmguard.upstreams.upstream import TokenCounter, Upstream
from llmguard.wire.answer import Event
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import EmbeddingRequest, PoolingRequest
from llmguard.wire.weight import Weight

NO_DECODING: Final = Decoding()
NO_OUTPUTS: Final = Outputs()
SOLUTION: Final = b"x-llmguard-solution"
INLINE_BYTES: Final = 16_384
"""A longer body is tokenized in a thread: it would hold up everybody else for over 5 ms."""
TOKENS_AT, INPUT_AT, OUTPUT_AT, CREDITS_AT = (
    MEASURES.index(name) for name in ("tokens", "input_tokens", "output_tokens", "credits")
)


class Priced(msgspec.Struct, frozen=True, gc=False):
    """What of a request has a price: `sent`, under an upstream's name for the model, of `bound` tokens at most.

    `counter` counts them exactly, where it is here. `scores` is how many a service's answer tells at most; `about` is
    whose standing is read along.
    """

    sent: ModelRequest | PoolingRequest
    bound: int
    counter: TokenCounter | None
    applied: Applied
    about: str | None
    scores: int | None = None


class Plan(msgspec.Struct, frozen=True, gc=False):
    """A request as it would be sent, and what it would hold; `about` is whose standing is read along."""

    exchange: Exchange
    request: ModelRequest | None
    applied: Applied
    held: Reservation
    about: str | None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that hold."""
        return self.applied.rules


class Quotas(Step):
    """Reserves what a request may spend before it is forwarded, all limits at once or none, and settles what it did.

    In every interval of a limit's length no more is generated than the limit, however many ask at once: what could be
    generated counts from before it is, what was counts for a whole window after its end. `mode: observe` spends
    beyond the limit and notes it. Who is throttled spends a multiple. The standing of the key, where its prompts are
    watched, is read in the same round trip.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        challenges: Challenges,
        upstreams: Mapping[str, Upstream],
        counters: Counters,
        metrics: Metrics,
        standings: Standings,
        meanwhile: Meanwhile,
        clock: Clock,
    ) -> None:
        self._rules = Rules(settings)
        self._models = settings.models
        self._prices = Prices.of(settings.credits)
        self._similarity = settings.similarity_model or ""
        self._observe = settings.mode == "observe"
        self._ledger = ledger
        self._challenges = challenges
        self._upstreams = upstreams
        self._counters = counters
        self._metrics = metrics
        self._standings = standings
        self._meanwhile = meanwhile
        self._clock = clock

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Hold what the request may take, or say when to come back."""
        asked = exchange
        while True:
            priced = self._priced(asked)
            if priced is None:
                return asked
            given = priced.bound if priced.counter is None else await self._counted(asked, priced.counter, priced)
            plan = self._plan(asked, priced, given)
            held = plan.held
            try:
                receipt = await self._ledger.reserve(asked.id, held.charges, held.amounts, plan.about)
            except StoreUnavailable:
                return Denial("store_unavailable", retry_after_s=1.0)
            if not receipt.exceeded:
                return self._held(plan, receipt)
            cheaper = None
            if asked is exchange and self._modes(plan, receipt) == {"degrade"}:
                cheaper = degraded(plan.exchange, self._models, self._upstreams)
            if cheaper is None:
                return self._denied(plan, receipt)
            asked = cheaper

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Count what is relayed."""
        if exchange.reservation is not None:
            exchange.reservation.relay(event)
        return event

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Spend what was taken, and give back the rest."""
        held = exchange.reservation
        if held is None:
            return
        counted, need = None, held.needs
        if held.kept is not None and outcome.usage is None and (counter := self._counters.of(exchange.model)):
            counted = counter.text("".join(held.kept))
        taken = need.taken(outcome.usage, outcome.code, held.relayed_bytes, counted)
        if outcome.scores is not None and not outcome.code:
            told = min(need.credits, outcome.scores * self._prices.score)
            taken = (*taken[:CREDITS_AT], told, *taken[CREDITS_AT + 1 :])
        await self._ledger.settle(exchange.id, held.spent(taken))
        self._metrics.settled(need.input_tokens, need.output_tokens, taken[INPUT_AT], taken[OUTPUT_AT])

    # --- what a request would hold ---------------------------------------------------------

    def _priced(self, exchange: Exchange) -> Priced | None:
        """None where no limit holds and nothing is watched, or nothing is asked that has a price."""
        if exchange.endpoint.weight is not None:
            return self._weighed(exchange, exchange.endpoint.weight(exchange.asked))
        sent, who, model = exchange.request or exchange.pooling, exchange.principal, exchange.model
        if sent is None or exchange.target is None:
            return None
        applied = self._rules.of(who.policy, exchange.endpoint.name, model)
        about = _about(applied, who)
        if not applied.rules and about is None:
            return None
        return Priced(sent, input_bound(sent, exchange.body_bytes), self._counters.of(model), applied, about)

    def _weighed(self, exchange: Exchange, weight: Weight) -> Priced | None:
        """The price of a request to a service, which has its texts embedded by the similarity model."""
        who, name = exchange.principal, self._similarity
        applied = self._rules.of(who.policy, exchange.endpoint.name, name)
        about = _about(applied, who)
        if not applied.rules and about is None:
            return None
        sent = EmbeddingRequest(model=name, input=list(weight.texts))
        if not weight.texts or name not in self._models:
            return Priced(sent, 0, None, applied, about, weight.scores)
        bound = input_bound(sent, exchange.body_bytes)
        return Priced(sent, bound, self._counters.of(name), applied, about, weight.scores)

    async def _counted(self, exchange: Exchange, counter: TokenCounter, priced: Priced) -> int:
        """The tokens of the input, or a bound of them; they are counted under the upstream's name for the model."""
        name = exchange.model if priced.scores is None else self._similarity
        named = replace(priced.sent, model=self._models[name].model)
        inline = exchange.body_bytes <= INLINE_BYTES
        counted = counter.prompt(named) if inline else await asyncio.to_thread(counter.prompt, named)
        return priced.bound if counted is None else counted

    def _plan(self, exchange: Exchange, priced: Priced, given: int) -> Plan:
        """What a request would hold whose input has so many tokens."""
        applied, about = priced.applied, priced.about
        request, need = self._needs(exchange, priced, given)
        charges, amounts, pick = applied.charges(exchange.principal), applied.pick(need.amounts), applied.pick
        weight = 1 if about is None else self._multiple(exchange)
        if weight > 1:
            weighed = zip(applied.rules, amounts, strict=True)
            amounts = tuple([rule.weighed(amount, weight) for rule, amount in weighed])
        solution = exchange.head.headers.get(SOLUTION)
        solved = None if solution is None else self._challenges.solution(exchange.principal.key, solution)
        if solved is not None or self._observe:
            charges = self._forced(applied.rules, charges, solved)
        if solved is not None:
            # The challenge is a quota of one request, for longer than it is valid; who is not served has not used it.
            exchange, amounts = replace(exchange, solved=True), (*amounts, 1)
            charges = (*charges, Charge(Counter(f"challenge:{solved}", "uses", 2.0 * LIFETIME_S), 1))
            pick = picker([*(rule.place for rule in applied.rules), MEASURES.index("requests")])
        held = Reservation(charges, amounts, pick, need, [] if request is not None and priced.counter else None, weight)
        return Plan(exchange, request, applied, held, about)

    def _needs(self, exchange: Exchange, priced: Priced, given: int) -> tuple[ModelRequest | None, Needs]:
        """The request with the cap that it is sent with, and its bounds."""
        request = exchange.request
        if exchange.pooling is not None:
            return None, pooling_needs(exchange.pooling, given, self._prices, exchange.policy.outputs or NO_OUTPUTS)
        if request is None:
            return None, Needs(priced.sent, given, 0, (priced.scores or 0) * self._prices.score)
        most, candidates = cap(request), 1
        if most is None and priced.applied.rules:
            most = self._cap(exchange, request, priced.applied.rules, given)
            request = capped(request, most)
        if exchange.marks is not None:
            given = max(given, exchange.marks.input_bound(given, most or 0))
            candidates = exchange.marks.candidates
        return request, needs(request, given, most or 0, self._prices, candidates)

    def _multiple(self, exchange: Exchange) -> int:
        """What the spending of a key is multiplied by, by what was last heard of it here."""
        standing, prompts = self._standings.of(exchange.principal.key), exchange.policy.prompts
        if standing is NORMAL or prompts is None or prompts.automation == "allowed" or self._observe:
            return 1
        return reply(standing, prompts.respond, self._clock.time()).weight

    def _forced(self, rules: Sequence[Rule], charges: Charges, solved: str | None) -> Charges:
        """The charges, forced where they do not refuse: all in `observe`, else those whose challenge was solved."""
        return tuple(
            replace(charge, forced=self._observe or (solved is not None and rule.on_exceed == "challenge"))
            for rule, charge in zip(rules, charges, strict=True)
        )

    def _cap(self, exchange: Exchange, request: ModelRequest, rules: Sequence[Rule], given: int) -> int:
        """The policy's cap on one choice, or what the tightest limit can ever hold beside the input."""
        most = (exchange.policy.decoding or NO_DECODING).max_output_tokens
        if isinstance(request, CompletionRequest):
            most = min(most, COMPLETION_TOKENS)
        choices = choices_of(request) * (1 if exchange.marks is None else exchange.marks.candidates)
        for rule in rules:
            if rule.place == TOKENS_AT or rule.place == OUTPUT_AT:
                room = (rule.limit - (given if rule.place == TOKENS_AT else 0)) // choices
                most = min(most, room)
        return max(1, most)

    # --- what becomes of it ------------------------------------------------------------------

    def _held(self, plan: Plan, receipt: Receipt) -> Exchange:
        exchange = plan.exchange
        observed = exchange.observed
        if self._observe:
            past = [rule for rule, left in zip(plan.rules, receipt.left, strict=False) if left < 0]
            if past:
                self._metrics.over_limit(past)
                observed = (*observed, (self.name, _code(past)))
        return replace(
            exchange,
            request=plan.request,
            reservation=plan.held,
            observed=observed,
            note=receipt.note,
            headers=exchange.headers + plan.applied.headers.of(receipt),
        )

    def _denied(self, plan: Plan, receipt: Receipt) -> Denial:
        past = [plan.rules[place] for place in receipt.exceeded if place < len(plan.rules)]
        headers = plan.applied.headers.of(receipt)
        self._metrics.over_limit(past)
        if self._modes(plan, receipt) <= {"challenge"}:
            challenge = self._challenges.issue(plan.exchange.principal.key)
            return Denial("challenge_required", headers=(*headers, (CHALLENGE, challenge.encode())))
        wait = receipt.retry_after_s
        if wait is not None and plan.about is not None:
            self._meanwhile.refused(plan.exchange.principal.key, self._clock.monotonic(), wait)
        limits = "; ".join(rule.title for rule in past)
        message = f"Limit reached: {limits}." if wait is not None else f"The request is more than is left of: {limits}."
        return Denial(_code(past), message, retry_after_s=wait, hopeless=wait is None, headers=headers)

    def _modes(self, plan: Plan, receipt: Receipt) -> set[str]:
        return {plan.rules[place].on_exceed for place in receipt.exceeded if place < len(plan.rules)}


def _about(applied: Applied, who: Principal) -> str | None:
    """Whose standing is to be read; None where prompts are not watched, or nobody asks."""
    return subject(who.key) if applied.watched and who.key else None


def _code(past: Sequence[Rule]) -> str:
    return "insufficient_quota" if any(rule.budget for rule in past) else "rate_limit_exceeded"
