"""Vectors leave in a reduced form, or not at all."""

from collections.abc import Callable
from typing import TypeAlias

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.settings import Settings
from llmguard.settings_embeddings import Reduced
from llmguard.settings_policies import Policy
from llmguard.wire.pooling import EmbeddingRequest, PoolingAnswer, texts
from llmguard.wire.pooling import Embeddings as Vectors

Tell: TypeAlias = Callable[[Reduced, str, str, list[str], list[list[float]], int | None], list[list[float]]]
"""What is told: by grant, model, tenant, texts, their vectors, and how many numbers were asked for."""


class Embeddings(Step):
    """Refuses vectors unless the policy grants them; what it grants is told coarsely, with keyed noise and the tenant's
    own axes. Answers are changed in place.
    """

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._tell = _teller(key) if any(granted(policy) for policy in settings.policies.values()) else None

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Refuse what is not granted, and more numbers than are."""
        if not isinstance(exchange.pooling, EmbeddingRequest):
            return exchange
        grant = granted(exchange.policy)
        if grant is None:
            return Denial("embeddings_not_exported", final=True)
        asked = _dimensions(exchange)
        if asked is not None and asked > grant.dimensions:
            message = f"'dimensions' must be at most {grant.dimensions} here."
            return Denial("invalid_value", message, "dimensions", final=True)
        return exchange

    def reduce(self, exchange: Exchange, answer: PoolingAnswer) -> PoolingAnswer:
        """Put in each vector's place what is told of it."""
        request, grant = exchange.pooling, granted(exchange.policy)
        if not isinstance(answer, Vectors) or not isinstance(request, EmbeddingRequest):
            return answer
        if grant is None or self._tell is None:
            raise ValueError("a vector that nobody granted")
        vectors = [item.embedding for item in answer.data if isinstance(item.embedding, list)]
        tenant, asked = exchange.principal.tenant, texts(request)
        told = self._tell(grant, exchange.model, tenant, asked, vectors, _dimensions(exchange))
        for item, vector in zip(answer.data, told, strict=True):
            item.embedding = vector
        return answer


def granted(policy: Policy) -> Reduced | None:
    """What the policy grants of vectors; None for nothing."""
    outputs = policy.outputs
    return outputs.reduced if outputs is not None and outputs.embeddings == "reduced" else None


def _dimensions(exchange: Exchange) -> int | None:
    return exchange.asked.dimensions if isinstance(exchange.asked, EmbeddingRequest) else None


def _teller(key: bytes) -> Tell:
    # Here numpy comes in, which a guard that gives no vectors does without.
    from llmguard.outputs.embeddings.reductions import Reductions  # noqa: PLC0415

    return Reductions(key)
