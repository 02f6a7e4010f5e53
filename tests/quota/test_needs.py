"""The bounds of a request, and what it took."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmguard.quota.needs import (
    IMAGE_TOKENS,
    NOTHING,
    TEMPLATE_TOKENS,
    Needs,
    Prices,
    cap,
    capped,
    input_bound,
    needs,
    pooling_needs,
)
from llmguard.quota.rule import MEASURES
from llmguard.settings import Credits
from llmguard.settings_policies import Outputs
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import Usage
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.pooling import ClassifyRequest, EmbeddingRequest, PoolingRequest

PRICES = Prices.of(Credits())


def chat(content: Any = "hello", **more: Any) -> ChatRequest:
    """A chat request."""
    return msgspec.convert({"model": "m", "messages": [{"role": "user", "content": content}], **more}, ChatRequest)


def completion(prompt: Any = "hello", **more: Any) -> CompletionRequest:
    """A text completion request."""
    return msgspec.convert({"model": "m", "prompt": prompt, **more}, CompletionRequest)


def of(amounts: tuple[int, ...]) -> dict[str, int]:
    """The amounts by name."""
    return dict(zip(MEASURES, amounts, strict=True))


def usage(read: int, made: int) -> Usage:
    """An upstream's report."""
    return Usage(prompt_tokens=read, completion_tokens=made, total_tokens=read + made)


def test_a_request_holds_its_input_and_all_its_caps() -> None:
    need = needs(chat(max_completion_tokens=50, n=3), 7, 50, PRICES)
    assert of(need.amounts) == {
        "requests": 1,
        "tokens": 157,
        "input_tokens": 7,
        "output_tokens": 150,
        "credits": 0,
        "concurrent": 1,
    }


@pytest.mark.parametrize(
    ("more", "choices"),
    [
        ({}, 1),
        ({"n": 2}, 2),
        ({"n": 2, "best_of": 5}, 5),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": ["a", "b"], "n": 2}, 4),
    ],
)
def test_a_completion_holds_every_candidate(more: dict[str, Any], choices: int) -> None:
    prompt = more.pop("prompt", "a")
    assert needs(completion(prompt, max_tokens=10, **more), 1, 10, PRICES).output_tokens == 10 * choices


@given(st.text(max_size=300))
def test_the_bound_is_never_below_a_byte_level_vocabulary(text: str) -> None:
    """The worst that a vocabulary can do is a token for each byte."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=False)
    raw = body.encode("utf-8", "surrogatepass")
    assert input_bound(chat(text), len(raw)) >= len(text.encode("utf-8", "surrogatepass")) + TEMPLATE_TOKENS


def test_a_picture_counts_as_one_and_not_by_its_bytes() -> None:
    url = "data:image/png;base64," + "A" * 100_000
    parts = [{"type": "text", "text": "what"}, {"type": "image_url", "image_url": {"url": url}}]
    assert IMAGE_TOKENS < input_bound(chat(parts), 100_200) < IMAGE_TOKENS + 500


def test_log_probabilities_are_priced_by_how_many_there_are() -> None:
    assert (
        of(needs(chat(max_tokens=10, logprobs=True, top_logprobs=4), 1, 10, PRICES).amounts)["credits"] == 10 * 5 * 20
    )
    assert of(needs(completion(max_tokens=10, logprobs=2), 1, 10, PRICES).amounts)["credits"] == 10 * 3 * 20
    assert of(needs(chat(max_tokens=10, n=2), 1, 10, Prices.of(Credits(text=3))).amounts)["credits"] == 6


def test_a_cap_is_read_and_set_where_the_wire_has_it() -> None:
    assert cap(chat()) is None
    assert cap(chat(max_tokens=5)) == cap(chat(max_completion_tokens=5)) == cap(completion(max_tokens=5)) == 5
    assert capped(chat(max_tokens=9), 5) == chat(max_completion_tokens=5)
    assert capped(completion(), 5) == completion(max_tokens=5)


# --- what was taken --------------------------------------------------------------------------

NEED = Needs(chat("t" * 80), input_tokens=100, output_tokens=50, credits=0)


def tokens(*report: Any, **more: Any) -> tuple[int, int]:
    """Input and output tokens taken."""
    taken = of(NEED.taken(*report, **more))
    assert taken["tokens"] == taken["input_tokens"] + taken["output_tokens"]
    assert taken["concurrent"] == 0
    return taken["input_tokens"], taken["output_tokens"]


def test_a_report_is_taken_as_it_is() -> None:
    assert tokens(usage(20, 30), "", 120, None) == (20, 30)
    assert tokens(usage(20, 30), "upstream_error", 120, None) == (20, 30)


def test_a_report_beyond_what_was_held_is_charged() -> None:
    assert tokens(usage(500, 90), "", 300, None) == (500, 90)


def test_a_report_that_the_text_proves_wrong_gives_nothing_back() -> None:
    assert tokens(usage(1, 30), "", 120, None) == (100, 30)
    assert tokens(usage(20, 1), "", 160, None) == (20, 50)
    assert tokens(usage(20, 1), "", 40, None) == (20, 40)
    assert tokens(usage(0, 0), "", 160, None) == (100, 50)
    assert tokens(usage(20, 1), "", 160, 33) == (20, 33)


def test_without_a_report_the_text_is_counted_or_bounded() -> None:
    assert tokens(None, "", 30, None) == (100, 30)
    assert tokens(None, "", 3000, None) == (100, 50)
    assert tokens(None, "client_closed_request", 3000, 41) == (100, 41)


@pytest.mark.parametrize(
    "code", ["upstream_error", "upstream_timeout", "overloaded", "internal_error", "invalid_value"]
)
def test_a_failure_before_anything_was_generated_costs_nothing(code: str) -> None:
    assert NEED.taken(None, code, 0, None) == NOTHING


def test_who_leaves_before_the_answer_has_been_read() -> None:
    assert of(NEED.taken(None, "client_closed_request", 0, None)) == of((1, 100, 100, 0, 0, 0))


def test_an_empty_answer_is_a_request() -> None:
    assert of(NEED.taken(None, "", 0, None)) == of((1, 100, 100, 0, 0, 0))


@given(st.none() | st.builds(usage, st.integers(0, 500), st.integers(0, 500)), st.integers(0, 5000))
def test_what_was_relayed_is_paid_for(report: Usage | None, relayed: int) -> None:
    """Whatever an upstream says: never less than a token for each 16 bytes, up to what was held."""
    taken = of(NEED.taken(report, "", relayed, None))
    assert taken["output_tokens"] >= min(NEED.output_tokens, relayed // 16)
    assert taken["requests"] == 1


@pytest.mark.parametrize(
    ("request_", "outputs", "credits"),
    [
        (ClassifyRequest(model="m", input="a"), Outputs(), 1),
        (ClassifyRequest(model="m", input=["a", "b"]), Outputs(scores="label"), 2),
        (ClassifyRequest(model="m", input=["a", "b"]), Outputs(scores="bucket"), 10),
        (ClassifyRequest(model="m", input=["a", "b"]), Outputs(scores="full"), 10),
        (EmbeddingRequest(model="m", input=["a", "b"]), Outputs(), 200),
    ],
)
def test_an_answer_without_text_is_priced_by_what_it_gives_away(
    request_: PoolingRequest, outputs: Outputs, credits: int
) -> None:
    need = pooling_needs(request_, 9, PRICES, outputs)
    assert of(need.amounts) == {
        "requests": 1,
        "tokens": 9,
        "input_tokens": 9,
        "output_tokens": 0,
        "credits": credits,
        "concurrent": 1,
    }
    assert of(need.taken(Usage(prompt_tokens=4, total_tokens=4), "", 0, None))["tokens"] == 4
    assert of(need.taken(Usage(prompt_tokens=0, total_tokens=0), "", 0, None))["tokens"] == 9
    assert of(need.taken(None, "", 0, None))["tokens"] == 9
    assert not any(need.taken(None, "upstream_error", 0, None))
