"""`/v1/vector_stores/{id}/search`: a question to a store."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from llmguard.wire.store_files import Text
from llmguard.wire.weight import Weight

Question = Annotated[str, Meta(min_length=1, max_length=8192)]
Share = Annotated[float, Meta(ge=0, le=1)]
DEFAULT_RESULTS = 10


class Hybrid(Struct, forbid_unknown_fields=True, frozen=True):
    """How much meaning and words count in the order."""

    embedding_weight: Share
    text_weight: Share

    def __post_init__(self) -> None:
        """Rules that bind two fields."""
        if self.embedding_weight == self.text_weight == 0:
            raise ValueError("`embedding_weight` and `text_weight` must not both be 0")


class RankingOptions(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How results are ranked. A threshold is compared with the score that is told, which is coarse."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: Share | None = None
    hybrid_search: Hybrid | None = None


class SearchRequest(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A question, or several at once; a policy's `top_k` caps `max_num_results`. `filters` are read by the library."""

    query: Question | Annotated[list[Question], Meta(min_length=1, max_length=8)]
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = DEFAULT_RESULTS
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False


class FoundText(Struct, frozen=True, kw_only=True):
    """A result; `score` is coarse, and null where a hidden item's budget is spent. Hidden items have no content."""

    file_id: str
    filename: str
    score: float | None
    attributes: dict[str, str | int | float | bool]
    content: list[Text]


class SearchResults(Struct, frozen=True, kw_only=True):
    """The results, best first; `padding` brings the answer to one length where the policy asks for it."""

    search_query: list[str]
    data: list[FoundText]
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    has_more: bool = False
    next_page: str | None = None
    padding: str | UnsetType = UNSET


def questions(asked: SearchRequest) -> list[str]:
    """One or many."""
    return [asked.query] if isinstance(asked.query, str) else asked.query


def weight(asked: SearchRequest) -> Weight:
    """What a search may take."""
    return Weight(questions(asked), asked.max_num_results)
