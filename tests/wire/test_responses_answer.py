"""Whole answers, read by the SDK's own types."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage

from llmguard.wire.chat_answer import ChatCompletion
from tests.wire.responses_sdk import CREATED, IDENT, client, completion, renderer, strict

CALLS = [
    {"id": "call_a", "function": {"name": "f", "arguments": "{}"}},
    {"id": "", "function": {"name": "g", "arguments": '{"a":1}'}},
]


def test_a_text() -> None:
    answer = strict(renderer().whole(completion(content="Hello")))
    assert (answer.id, answer.created_at, answer.model, answer.status) == (f"resp_{IDENT}", CREATED, "m", "completed")
    assert answer.output_text == "Hello"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 5, 12)
    (message,) = answer.output
    assert isinstance(message, ResponseOutputMessage)
    assert message.id.startswith(f"msg_{IDENT}")


def test_an_answer_repeats_the_settings_of_its_request() -> None:
    tool = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True}
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 9,
        "tools": [tool],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "text": {"format": schema, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto", "generate_summary": None},
        "top_logprobs": 2,
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "default",
    }
    body = renderer(**asked).whole(completion(content="{}"))
    strict(body)
    answer = json.loads(body)
    assert {name: answer[name] for name in asked} == asked


def test_an_answer_to_a_bare_request_has_openais_defaults_and_says_that_nothing_is_stored() -> None:
    body = renderer(store=True).whole(completion(content="Hello"))
    answer = strict(body)
    assert json.loads(body)["store"] is False
    assert (answer.tools, answer.tool_choice, answer.parallel_tool_calls) == ([], "auto", True)
    assert (answer.truncation, answer.metadata, answer.background) == ("disabled", {}, False)
    assert answer.text is not None
    assert answer.text.format is not None
    assert answer.text.format.type == "text"


def test_text_then_calls_are_items_of_their_own() -> None:
    answer = strict(renderer().whole(completion("tool_calls", content="Wait.", tool_calls=CALLS)))
    message, first, second = answer.output
    assert isinstance(message, ResponseOutputMessage)
    assert isinstance(first, ResponseFunctionToolCall)
    assert isinstance(second, ResponseFunctionToolCall)
    assert (first.call_id, first.name, first.arguments) == ("call_a", "f", "{}")
    assert second.call_id == f"call_{IDENT}01"
    assert len({message.id, first.id, second.id}) == 3


def test_calls_alone_come_without_a_message() -> None:
    answer = strict(renderer().whole(completion("tool_calls", content="", tool_calls=CALLS)))
    assert [item.type for item in answer.output] == ["function_call"] * 2


def test_a_refusal() -> None:
    answer = strict(renderer().whole(completion(refusal="No.")))
    message = answer.output[0]
    assert isinstance(message, ResponseOutputMessage)
    assert [part.type for part in message.content] == ["refusal"]


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_answer_is_incomplete_and_only_its_last_item_is(finish_reason: str, reason: str) -> None:
    body = renderer().whole(completion(finish_reason, content="a", tool_calls=CALLS[:1]))
    answer = strict(body)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == reason
    assert [item["status"] for item in json.loads(body)["output"]] == ["completed", "incomplete"]


def test_an_answer_of_nothing_has_a_message_of_no_text() -> None:
    for empty in (completion(), ChatCompletion(choices=[])):
        answer = strict(renderer().whole(empty))
        assert (len(answer.output), answer.output_text) == (1, "")


def test_details_of_output_and_citations_and_logprobs_are_kept_and_cache_hits_are_not() -> None:
    citation = {"start_index": 0, "end_index": 1, "title": "t", "url": "http://u"}
    given = completion(
        content="é",
        annotations=[{"type": "url_citation", "url_citation": citation}],
        logprobs={"content": [{"token": "é", "logprob": -1.0, "top_logprobs": []}]},
    )
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    details = {"prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens_details": {"reasoning_tokens": 2}}
    given.usage = msgspec.convert(usage | details, type(given.usage))
    answer = strict(renderer().whole(given))
    part = answer.output[0].content[0]  # type: ignore[union-attr, index]
    assert part.annotations[0].url == "http://u"  # type: ignore[union-attr]
    assert part.logprobs[0].bytes == [195, 169]  # type: ignore[union-attr, index]
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.cached_tokens == 0
    assert answer.usage.output_tokens_details.reasoning_tokens == 2


def test_the_sdk_reads_a_whole_answer() -> None:
    with client(lambda _: completion(content="Hello")) as sdk:
        assert sdk.responses.create(model="m", input="hi").output_text == "Hello"
