"""One question to one store, from its vector to the answer that may be given."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from similarity.disclosure import Answer, Candidate, Question, Spent, disclosed
from similarity.engine import Engine
from similarity.keyed import said
from similarity.ledger import Asked, Ledger
from similarity.library.entries import Entries
from similarity.library.filters import Filter
from similarity.library.matching import Matching
from similarity.library.records import Attributes
from similarity.library.stores import Opened, Stores
from similarity.setting import Content, Disclosure
from similarity.vectors import Ids, Vectors, ids_of

DEEPER = 4
"""Candidates for each result: what disclosure may put in another order, and what fusion chooses from."""
RANK_OFFSET = 60
"""Reciprocal rank fusion: weight / (60 + rank) (Cormack, Clarke, Büttcher, SIGIR 2009)."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much meaning and words count in a hybrid order."""

    embedding: float = 1.0
    text: float = 1.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A search: who asks, of which store, and what. `vector` [d] is the question's, made here and never the client's;
    `cluster` stands for everyone linked to whoever asks. Words count where `weights` are given."""

    tenant: str
    policy: str
    cluster: bytes
    store: str
    question: str
    vector: Vectors
    limit: int = 10
    threshold: float | None = None
    filter: Filter | None = None
    weights: Weights | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A row of an answer: a chunk by its number. `text` is None where the store hides it, `score` where the budget is
    spent; a stranger to a store that hides its texts is not told the file's name."""

    chunk: int
    file: str
    filename: str
    score: float | None
    attributes: Attributes
    text: str | None


@dataclass(frozen=True, slots=True)
class Results:
    """An answer: its rows, the rows that it lacks to its full length, and the scores it told, each a credit."""

    rows: tuple[Result, ...]
    blanks: int
    credits: int


class Search:
    """Blocks, for the disk; call it in a thread. Any thread may. `key` keys the dither and the orders."""

    def __init__(
        self, stores: Stores, entries: Entries, matching: Matching, catalogue: Engine, ledger: Ledger, key: bytes
    ) -> None:
        self._stores = stores
        self._entries = entries
        self._matching = matching
        self._catalogue = catalogue
        self._ledger = ledger
        self._key = key

    def search(self, ask: Ask, setting: Disclosure) -> Results:
        """What may be said, by the policy's setting and the store's own content. Raises NotFound."""
        opened = self._stores.open(ask.tenant, ask.store, ask.policy)
        chosen = replace(setting, content=opened.content)
        allowed = None if ask.filter is None else self._matching.allowed(opened.number, ask.filter)
        self._stores.touch(opened.number)
        answer = self._answer(opened, ask, chosen, allowed)
        return self._results(opened, answer)

    def _answer(self, opened: Opened, ask: Ask, setting: Disclosure, allowed: Ids | None) -> Answer:
        hidden = setting.content is Content.HIDDEN
        asked = Asked(said(ask.question), ask.vector, new=False)
        if hidden:
            asked = self._ledger.recognised(ask.cluster, opened.number, ask.vector, setting.same_question)
        candidates = self._candidates(opened.number, ask, asked.vector, allowed, setting)
        question = Question(asked.digest, ask.cluster, ask.limit, ask.threshold)

        def decide(spent: Spent) -> Answer:
            return disclosed(candidates, setting, question, spent, self._key)

        if not hidden:
            return decide(Spent({}, frozenset()))
        items = [candidate.id for candidate in candidates]
        return self._ledger.settled(ask.cluster, opened.number, asked, items, decide)

    def _candidates(
        self, store: int, ask: Ask, vector: Vectors, allowed: Ids | None, setting: Disclosure
    ) -> Sequence[Candidate]:
        count = DEEPER * setting.top_k
        found = self._catalogue.search(store, vector[None], count, allowed)
        near = [Candidate(int(id), float(s)) for id, s in zip(found.ids[0], found.scores[0], strict=True) if id >= 0]
        if ask.weights is None or setting.content is Content.HIDDEN:
            return near
        worded = self._matching.worded(store, ask.question, count, allowed)
        known = {candidate.id: candidate for candidate in near}
        ids, vectors = self._entries.vectors(store, ids_of([id for id in worded.tolist() if id not in known]))
        scored = zip(ids.tolist(), (vectors @ vector).tolist(), strict=True)
        known |= {id: Candidate(id, score) for id, score in scored}
        order = fused([one.id for one in near], worded.tolist(), ask.weights)
        return [known[id] for id in order if id in known][:count]

    def _results(self, opened: Opened, answer: Answer) -> Results:
        """The rows with what the library says of them; one deleted meanwhile is left out."""
        chunks = self._matching.chunks(opened.number, [row.id for row in answer.rows])
        told = opened.content is Content.RETURNED
        rows = tuple(
            Result(
                chunk.id,
                chunk.file,
                chunk.filename if told or opened.owned else "",
                row.score,
                chunk.attributes,
                chunk.text if told else None,
            )
            for row in answer.rows
            if (chunk := chunks.get(row.id)) is not None
        )
        blanks = answer.blanks + len(answer.rows) - len(rows) if answer.blanks else 0
        return Results(rows, blanks, answer.scored)


def fused(near: Sequence[int], worded: Sequence[int], weights: Weights) -> list[int]:
    """Both orders as one, by reciprocal rank; equal sums by the smaller id."""
    sums: dict[int, float] = {}
    for order, weight in ((near, weights.embedding), (worded, weights.text)):
        for rank, id in enumerate(order, 1):
            sums[id] = sums.get(id, 0.0) + weight / (RANK_OFFSET + rank)
    return sorted(sums, key=lambda id: (-sums[id], id))
