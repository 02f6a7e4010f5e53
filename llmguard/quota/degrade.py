"""The same request at a lower price, as a policy's `degrade` says."""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from llmguard.exchange import Exchange
from llmguard.quota.needs import cap, capped
from llmguard.settings import Model
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.engine_fields import foreign

DEGRADED: Final = b"x-llmguard-degraded"


def degraded(exchange: Exchange, models: Mapping[str, Model], upstreams: Mapping[str, Upstream]) -> Exchange | None:
    """A cheaper model, a shorter answer or both, told in a header; None where it would be the same request."""
    request, degrade, said = exchange.request, exchange.policy.degrade, []
    if degrade is None or request is None:
        return None
    own = cap(request)
    if degrade.max_output_tokens is not None and (own is None or own > degrade.max_output_tokens):
        exchange = replace(exchange, request=capped(request, degrade.max_output_tokens))
        said.append("max_output_tokens")
    if degrade.model is not None and degrade.model != exchange.model:
        target = models[degrade.model]
        if not foreign(request, upstreams[target.upstream].extensions):
            exchange = replace(exchange, model=degrade.model, target=target)
            said.append("model")
    if not said:
        return None
    return replace(exchange, headers=(*exchange.headers, (DEGRADED, ", ".join(said).encode())))
