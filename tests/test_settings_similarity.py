"""What answers about likeness may say, and when that needs a reason."""

from typing import Any

import pytest
from pydantic import ValidationError

from llmguard.settings import Settings
from llmguard.settings_similarity import DISCLOSURE, SimilarityAnswers
from tests.serving import tree


def test_the_defaults_are_the_librarys() -> None:
    assert SimilarityAnswers().disclosure == DISCLOSURE


@pytest.mark.parametrize(
    "narrower",
    [
        {"edges": DISCLOSURE.edges[1:]},
        {"dither": 0.2},
        {"lifetime": 1},
        {"top_k": 3},
        {"same_question": 0.5},
        {"one_length": True},
        {"search_credits": 0, "list_credits": 0},
    ],
)
def test_what_says_less_needs_no_reason(narrower: dict[str, Any]) -> None:
    assert SimilarityAnswers.model_validate(narrower).reason is None


@pytest.mark.parametrize(
    "wider",
    [
        {"edges": [0.1, 0.2, 0.3]},
        {"edges": [*DISCLOSURE.edges, 0.95]},
        {"dither": 0.0},
        {"lifetime": DISCLOSURE.lifetime + 1},
        {"top_k": 11},
        {"same_question": 1.0},
        {"search_credits": 20_001},
        {"list_credits": 10_001},
    ],
)
def test_what_says_more_needs_one(wider: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wider))):
        SimilarityAnswers.model_validate(wider)
    assert SimilarityAnswers.model_validate(wider | {"reason": "our own staff"}).reason == "our own staff"


@pytest.mark.parametrize(
    ("names", "chosen", "found"),
    [((), None, None), (("a",), None, "a"), (("a", "b"), None, None), (("a", "b"), "b", "b")],
)
def test_the_model_is_the_one_that_is_named_or_the_only_one(
    names: tuple[str, ...], chosen: str | None, found: str | None
) -> None:
    made = tree("http://unused/v1", similarity={"model": chosen})
    made["models"] |= {name: {"task": "embedding", "upstream": "fake", "model": name} for name in names}
    assert Settings.model_validate(made).similarity_model == found
