"""Texts to vectors, by whichever upstream runs the similarity model."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from llmguard.errors import Denial, UpstreamFailure
from llmguard.settings import Settings
from llmguard.upstreams.upstream import Upstream
from llmguard.wire.pooling import EmbeddingRequest, Embeddings

log = logging.getLogger(__name__)

AT_ONCE = 32
ATTEMPTS, PAUSE_S = 3, 0.1


class Embedder:
    """Asks the upstream of the settings in force, `serving()`, again where that can help.

    A reload may move the model, but not change it: vectors of two models do not compare.
    """

    def __init__(self, serving: Callable[[], tuple[Settings, Mapping[str, Upstream]]]) -> None:
        self._serving = serving
        self._model: str | None = None

    async def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of the texts, in order; raises UpstreamFailure."""
        found: list[list[float]] = []
        for start in range(0, len(texts), AT_ONCE):
            found += await self._some(list(texts[start : start + AT_ONCE]))
        return found

    async def _some(self, texts: list[str]) -> list[list[float]]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._asked(texts)
            except UpstreamFailure as failure:
                if not failure.retryable or attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE_S * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _asked(self, texts: list[str]) -> list[list[float]]:
        settings, upstreams = self._serving()
        model = settings.models.get(settings.similarity_model or "")
        if model is None or self._model not in (None, model.model):
            log.error("the embedding model of vector stores has changed, which takes effect with a restart only")
            raise UpstreamFailure(Denial("upstream_error"), retryable=False)
        self._model = model.model
        request = EmbeddingRequest(model=model.model, input=texts, encoding_format="float")
        answer = await upstreams[model.upstream].pool(request)
        vectors = [item.embedding for item in answer.data] if isinstance(answer, Embeddings) else []
        lists = [vector for vector in vectors if isinstance(vector, list)]
        if len(lists) != len(texts):
            raise UpstreamFailure(Denial("upstream_error"), retryable=False)
        return lists
