"""`POST /v1/similarity`: how like texts are, in the shape of Text Embeddings Inference; scores are coarse."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from llmguard.wire.store_search import Question
from llmguard.wire.weight import Weight

MOST_TEXTS = 256


class Pairs(Struct, forbid_unknown_fields=True, frozen=True):
    """A text, and those that it is compared with."""

    source_sentence: Question
    sentences: Annotated[list[Question], Meta(min_length=1, max_length=MOST_TEXTS)]


class SimilarityParameters(Struct, forbid_unknown_fields=True, frozen=True):
    """How long texts are cut; the model reads their beginning."""

    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] | None = None


class SimilarityRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """The texts; the model is the guard's own choice."""

    inputs: Pairs
    parameters: SimilarityParameters | None = None


def weight(asked: SimilarityRequest) -> Weight:
    """What a comparison takes: a score a sentence."""
    pairs = asked.inputs
    return Weight([pairs.source_sentence, *pairs.sentences], len(pairs.sentences))
