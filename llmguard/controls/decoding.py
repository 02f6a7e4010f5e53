"""Nothing deterministic, and no logits: what of the sampling a client may choose."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from msgspec.structs import replace

from llmguard.control import Step
from llmguard.decoding.engines import Defaults, Engine, engine_of
from llmguard.decoding.verdict import Changes, spends, verdict
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.settings import Settings
from llmguard.settings_policies import Decoding as Floors
from llmguard.store.ledger import Charge, Counter, Ledger
from llmguard.store.store import StoreUnavailable

HEADER: Final = b"x-llmguard-decoding"
DAY_S: Final = 86_400.0
ASKED_AS: Final = {
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "logprobs": "top_logprobs",
    "messages": "input",
}
"""A chat's fields as `/v1/responses` calls them."""


class Decoding(Step):
    """Refuses or raises what narrows the model's distribution below the policy's floors, and what reads it out.

    A policy that says nothing of decoding has the defaults of the settings. What is changed is told in the answer's
    `x-llmguard-decoding`. `mode: observe` notes what would be refused or changed, and changes nothing.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._observe = settings.mode == "observe"
        self._default = Floors()
        self._rows = {name: _row(settings, name) for name in settings.models}
        self._ledger = ledger

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Give the request back as it may be sent, or refuse it with the parameter at fault."""
        request = exchange.request
        if request is None:
            return exchange
        floors = exchange.policy.decoding or self._default
        found = verdict(request, self._rows[exchange.model], floors)
        if isinstance(found, Denial):
            return _in_words_of(exchange, found)
        if found:
            if self._observe:
                return Denial("deterministic_decoding", param=next(iter(found)))
            told = (HEADER, _told(found).encode())
            exchange = replace(exchange, request=replace(request, **found), headers=(*exchange.headers, told))
        if floors.logit_bias == "allow" and (tokens := spends(request)):
            return await self._budgeted(exchange, tokens, floors.max_biased_tokens) or exchange
        return exchange

    async def _budgeted(self, exchange: Exchange, tokens: frozenset[str], limit: int) -> Denial | None:
        """Spend these tokens of the tenant's day; a set of them that was paid for today is free.

        Of the tenant's, since its users can put together what each of them learns.

        Sets overlap, so that the sum of their sizes bounds the distinct tokens from above.
        """
        tenant = f"tenant:{exchange.principal.tenant}"
        charges = (
            Charge(Counter(tenant, f"biased:{_digest(tokens)}", DAY_S), 1),
            Charge(Counter(tenant, "biased", DAY_S), limit, self._observe),
        )
        amounts = 1, len(tokens)
        ident = f"{exchange.id}:bias"
        try:
            receipt = await self._ledger.reserve(ident, charges, amounts)
            if not receipt.exceeded:
                await self._ledger.settle(ident, amounts)
        except StoreUnavailable:
            return Denial("store_unavailable", retry_after_s=1.0)
        if not receipt.exceeded or 0 in receipt.exceeded:
            return None
        message = f"Limit reached: {limit} biased tokens per tenant every day."
        wait = receipt.retry_after_s
        return Denial("insufficient_quota", message, "logit_bias", retry_after_s=wait, hopeless=wait is None)


def _row(settings: Settings, name: str) -> Engine:
    """What may serve a model, its stand-ins included: each default the narrowest among them."""
    cheaper = [policy.degrade.model for policy in settings.policies.values() if policy.degrade is not None]
    stand_ins = (*settings.models[name].fallbacks, *(other for other in cheaper if other is not None))
    models = [settings.models[name], *(settings.models[other] for other in stand_ins)]
    engines = [engine_of(settings.upstreams[model.upstream]) for model in models]
    defaults = [
        Defaults(**asdict(engine.defaults) | model.defaults.model_dump(exclude_none=True))
        for engine, model in zip(engines, models, strict=True)
    ]
    known = engines[0].fields
    narrowest = Defaults(
        temperature=min(each.temperature for each in defaults),
        top_p=min(each.top_p for each in defaults),
        # Only what the model's own upstream can be told otherwise.
        top_k=min((each.top_k for each in defaults if each.top_k and "top_k" in known), default=0),
        min_p=max(each.min_p if "min_p" in known else 0.0 for each in defaults),
        cuts_first=all(each.cuts_first for each in defaults),
    )
    return Engine(known, narrowest, any(engine.prefills for engine in engines))


def _in_words_of(exchange: Exchange, denial: Denial) -> Denial:
    """The denial with the parameter named as the client's endpoint names it."""
    name = ASKED_AS.get(denial.param or "") if exchange.endpoint.name == "responses" else None
    if name is None:
        return denial
    return Denial(denial.code, denial.text.replace(f"'{denial.param}'", f"'{name}'"), name)


def _told(changes: Changes) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in changes.items())


def _shown(value: Any) -> str:
    return "dropped" if value is None else f"{value:g}"


def _digest(tokens: Iterable[str]) -> str:
    return hashlib.blake2b("\0".join(sorted(tokens)).encode(), digest_size=8).hexdigest()
