"""`POST /v1/rerank`: texts in the order of their likeness to a question, in the shapes of TEI (`texts`) and Cohere
(`documents`); scores are coarse.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from llmguard.wire.chat import Name
from llmguard.wire.similarity import MOST_TEXTS
from llmguard.wire.store_search import Question
from llmguard.wire.weight import Weight

Texts = Annotated[list[Question], Meta(min_length=1, max_length=MOST_TEXTS)]


class RerankRequest(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A question and what is to be ranked; `raw_scores` are given to nobody."""

    query: Question
    texts: Texts | None = None
    documents: Texts | None = None
    model: Name | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_text: bool = False
    return_documents: bool = False
    raw_scores: Literal[False] | None = None
    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] | None = None
    max_tokens_per_doc: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        """Rules that bind two fields."""
        if (self.texts is None) == (self.documents is None):
            raise ValueError("`documents` or `texts` must be given, and not both")
        for name, given in (
            ("top_n", self.top_n is not None),
            ("return_documents", self.return_documents),
            ("model", self.model is not None),
            ("max_tokens_per_doc", self.max_tokens_per_doc is not None),
        ):
            if given and self.documents is None:
                raise ValueError(f"`{name}` goes with `documents`")
        if self.return_text and self.texts is None:
            raise ValueError("`return_text` goes with `texts`")


class RankedText(Struct, frozen=True):
    """A row of TEI's answer."""

    index: int
    score: float
    text: str | UnsetType = UNSET


class Document(Struct, frozen=True):
    """A text as Cohere shows it."""

    text: str


class RankedDocument(Struct, frozen=True):
    """A row of Cohere's answer; the score lies in [0, 1]."""

    index: int
    relevance_score: float
    document: Document | UnsetType = UNSET


class Billed(Struct, frozen=True):
    """Cohere's unit."""

    search_units: int = 1


class RankMeta(Struct, frozen=True):
    """What Cohere's clients expect beside the results."""

    billed_units: Billed = Billed()


class RankedDocuments(Struct, frozen=True, kw_only=True):
    """Cohere's answer."""

    id: str
    results: list[RankedDocument]
    meta: RankMeta = RankMeta()


def ranked(asked: RerankRequest) -> list[str]:
    """The texts."""
    return asked.texts or asked.documents or []


def weight(asked: RerankRequest) -> Weight:
    """What a ranking takes: a score a text, told or not, since their order tells of all."""
    texts = ranked(asked)
    return Weight([asked.query, *texts], len(texts))
