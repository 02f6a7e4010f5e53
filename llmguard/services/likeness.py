"""`/v1/similarity` and `/v1/rerank`: scores of texts that clients bring."""

from collections.abc import Callable, Mapping

import numpy as np
from msgspec import UNSET
from msgspec.json import encode

from llmguard.errors import Denial, Refused
from llmguard.exchange import Exchange
from llmguard.service import Served, Service
from llmguard.services.asked import asked
from llmguard.services.library import Embeddings
from llmguard.settings import Settings
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.rerank import (
    Document,
    RankedDocument,
    RankedDocuments,
    RankedText,
    RerankRequest,
    ranked,
)
from llmguard.wire.similarity import SimilarityRequest
from llmguard.wire.similarity_endpoints import RERANK, SIMILARITY
from similarity.disclosure import Question, bucket_of, pair_score
from similarity.keyed import said
from similarity.setting import told


class Likeness:
    """Scores in buckets, dithered by the pair of texts or by the question, under `key`; no other is ever computed out.

    The order of a ranking is exact, which tells as much as scores do: every text that is ranked costs one.
    """

    def __init__(self, embeddings: Embeddings, key: bytes, serving: Callable[[], Settings]) -> None:
        self._embeddings = embeddings
        self._key = key
        self._serving = serving

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """What it answers."""
        return {SIMILARITY: self._similarity, RERANK: self._rerank}

    async def _similarity(self, exchange: Exchange) -> Served:
        pairs = asked(exchange, SimilarityRequest).inputs
        source, *others = await self._embeddings([pairs.source_sentence, *pairs.sentences])
        setting, cluster = exchange.policy.similarity.disclosure, exchange.principal.tenant.encode()
        mine = said(pairs.source_sentence)
        scores = [
            pair_score(float(source @ other), setting, self._key, cluster, (mine, said(text)))
            for other, text in zip(others, pairs.sentences, strict=True)
        ]
        return Served(encode(scores), scores=len(scores))

    async def _rerank(self, exchange: Exchange) -> Served:
        body = asked(exchange, RerankRequest)
        if body.model is not None and body.model != self._serving().similarity_model:
            raise Refused(Denial("model_not_found", param="model"))
        texts = ranked(body)
        vectors = await self._embeddings([body.query, *texts])
        setting = exchange.policy.similarity.disclosure
        question = Question(said(body.query), exchange.principal.tenant.encode(), len(texts))
        cosines = vectors[1:] @ vectors[0]
        scores = [told(bucket_of(float(one), setting, self._key, question), setting.edges) for one in cosines]
        order = np.argsort(-cosines, kind="stable").tolist()
        if body.documents is None:
            rows = [RankedText(at, scores[at], texts[at] if body.return_text else UNSET) for at in order]
            return Served(encode(rows), scores=len(texts))
        results = [
            RankedDocument(at, max(0.0, scores[at]), Document(texts[at]) if body.return_documents else UNSET)
            for at in order[: body.top_n]
        ]
        return Served(encode(RankedDocuments(id=exchange.id, results=results)), scores=len(texts))
