"""`/v1/vector_stores/{id}/search`."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from msgspec.json import encode
from msgspec.structs import replace

from llmguard.exchange import Exchange, Principal
from llmguard.service import Served, Service
from llmguard.services.asked import asked, places
from llmguard.services.library import Embeddings, Library
from llmguard.services.rewriting import rewritten
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.similarity_endpoints import STORE_SEARCH
from llmguard.wire.store_files import Text
from llmguard.wire.store_search import FoundText, SearchRequest, SearchResults, questions
from similarity.disclosure import filler
from similarity.library.filters import Filter, parsed
from similarity.search import Ask, Result, Results, Weights
from similarity.setting import Disclosure
from similarity.vectors import Vectors

BLOCK = 4096
"""What an answer is padded to a multiple of, where its policy has answers of one length."""


class Searches:
    """Questions of any tenant to its own stores and to those that are shared with it.

    Several questions at once are answered each for itself; the answers are told in turns, each chunk once.
    """

    def __init__(self, library: Library, embeddings: Embeddings) -> None:
        self._library = library
        self._embeddings = embeddings

    @property
    def services(self) -> Mapping[Endpoint, Service]:
        """What it answers."""
        return {STORE_SEARCH: self._search}

    async def _search(self, exchange: Exchange) -> Served:
        (store,) = places(exchange)
        body, who = asked(exchange, SearchRequest), exchange.principal
        texts = [rewritten(text) for text in questions(body)] if body.rewrite_query else questions(body)
        # Before the model is asked: what is wrong or not there costs nothing.
        filters = await self._library.do(self._checked, body, who, store)
        vectors = await self._embeddings(texts)
        setting = exchange.policy.similarity.disclosure
        asks = [_ask(exchange, store, text, vector, filters) for text, vector in zip(texts, vectors, strict=True)]
        answers = await self._library.do(self._answers, asks, setting)
        rows = _merged(answers, body.max_num_results)
        told = SearchResults(search_query=texts, data=[_shown(row) for row in rows])
        if setting.one_length:
            told = replace(told, padding="")
            told = replace(told, padding=" " * filler(len(encode(told)), BLOCK))
        return Served(encode(told), scores=sum(row.score is not None for row in rows))

    def _checked(self, body: SearchRequest, who: Principal, store: str) -> Filter | None:
        self._library.stores.open(who.tenant, store, who.policy)
        return None if body.filters is None else parsed(body.filters)

    def _answers(self, asks: Sequence[Ask], setting: Disclosure) -> list[Results]:
        return [self._library.search.search(ask, setting) for ask in asks]


def _ask(exchange: Exchange, store: str, text: str, vector: Vectors, filters: Filter | None) -> Ask:
    body, who = asked(exchange, SearchRequest), exchange.principal
    ranking = body.ranking_options
    hybrid = ranking.hybrid_search if ranking is not None else None
    return Ask(
        tenant=who.tenant,
        policy=who.policy,
        cluster=who.tenant.encode(),
        store=store,
        question=text,
        vector=vector,
        limit=body.max_num_results,
        threshold=ranking.score_threshold if ranking is not None else None,
        filter=filters,
        weights=None if hybrid is None else Weights(hybrid.embedding_weight, hybrid.text_weight),
    )


def _merged(answers: Sequence[Results], limit: int) -> list[Result]:
    """The best of each answer, then the second of each, and so on; each chunk where it comes first."""
    found: dict[int, Result] = {}
    for row in chain.from_iterable(zip_longest(*(answer.rows for answer in answers))):
        if row is not None:
            found.setdefault(row.chunk, row)
    return list(found.values())[:limit]


def _shown(row: Result) -> FoundText:
    return FoundText(
        file_id=row.file,
        filename=row.filename,
        score=row.score,
        attributes=dict(row.attributes),
        content=[] if row.text is None else [Text(row.text)],
    )
