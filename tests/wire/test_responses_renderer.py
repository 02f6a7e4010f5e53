"""Streams, read by the SDK's own types and its accumulator."""

import itertools
from typing import Any

import httpx
import msgspec
import openai
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from llmguard.errors import Denial
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import ChatChunk
from llmguard.wire.completions import Completion
from tests.wire.responses_sdk import (
    IDENT,
    USAGE,
    call_chunk,
    chunk,
    client,
    completion,
    events,
    renderer,
    stream_of,
    strict,
)

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": None,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
TEXT = [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk("stop")]
CALLS = [
    chunk(role="assistant", content=None),
    call_chunk(0, id="call_a", name="weather", arguments=""),
    call_chunk(0, arguments='{"city":'),
    call_chunk(0, arguments='"Bonn"}'),
    call_chunk(1, id="call_b", name="weather", arguments='{"city":"Kiel"}'),
    chunk("tool_calls"),
]
MESSAGE_OPENS = ["response.output_item.added", "response.content_part.added"]
TEXT_CLOSES = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
STREAM_OPENS = ["response.created", "response.in_progress"]


def kinds(stream: bytes) -> list[str]:
    return [event.type for event in events(stream)]


def test_text_is_streamed_in_openais_order() -> None:
    stream = stream_of(renderer(), TEXT)
    deltas = ["response.output_text.delta"] * 2
    assert kinds(stream) == [*STREAM_OPENS, *MESSAGE_OPENS, *deltas, *TEXT_CLOSES, "response.completed"]
    assert b"[DONE]" not in stream


def test_the_last_event_of_a_stream_is_the_whole_answer() -> None:
    last = events(stream_of(renderer(), TEXT))[-1]
    assert last.response == strict(renderer().whole(completion(content="Hello")))


def test_opening_events_show_a_response_in_progress_without_output() -> None:
    created, in_progress = events(renderer().chunks([chunk(role="assistant", content="")]))
    assert created.response.id == f"resp_{IDENT}"
    for event in (created, in_progress):
        assert (event.response.status, event.response.output, event.response.usage) == ("in_progress", [], None)


def test_calls_are_streamed_and_end_with_the_answer() -> None:
    read = events(stream_of(renderer(tools=[WEATHER]), CALLS))
    assert [event.type.removeprefix("response.") for event in read[2:]] == [
        "output_item.added",
        *["function_call_arguments.delta"] * 2,
        "output_item.added",
        "function_call_arguments.delta",
        *["function_call_arguments.done", "output_item.done"] * 2,
        "completed",
    ]
    calls = read[-1].response.output
    assert [(c.call_id, c.name, c.arguments, c.status) for c in calls] == [
        ("call_a", "weather", '{"city":"Bonn"}', "completed"),
        ("call_b", "weather", '{"city":"Kiel"}', "completed"),
    ]
    assert len({c.id for c in calls}) == 2


def test_pieces_of_calls_may_come_in_any_order() -> None:
    mixed = [
        call_chunk(0, id="a", name="f", arguments="0"),
        call_chunk(1, id="b", name="g", arguments="1"),
        call_chunk(0, arguments="0"),
        call_chunk(1, name="g", arguments="1"),
    ]
    output = events(stream_of(renderer(), mixed))[-1].response.output
    assert [(c.call_id, c.name, c.arguments) for c in output] == [("a", "f", "00"), ("b", "g", "11")]


def test_a_call_without_an_id_gets_one() -> None:
    output = events(stream_of(renderer(), [call_chunk(0, name="f", arguments="{}"), call_chunk(1, name="g")]))[-1]
    ids = [call.call_id for call in output.response.output]
    assert ids == [f"call_{IDENT}00", f"call_{IDENT}01"]


def test_a_message_ends_when_a_call_begins_and_later_text_begins_another() -> None:
    read = events(stream_of(renderer(), [chunk(content="a"), *CALLS[1:3], chunk(content="b"), CALLS[3]]))
    output = read[-1].response.output
    assert [item.type for item in output] == ["message", "function_call", "message"]
    assert output[1].arguments == '{"city":"Bonn"}'
    assert read[-1].response.output_text == "ab"
    assert len({item.id for item in output}) == 3
    order = [event.type for event in read]
    assert order.index("response.output_text.done") < order.index("response.function_call_arguments.delta")


def test_a_refusal_is_a_part_of_its_own() -> None:
    read = events(stream_of(renderer(), [chunk(content="Well, "), chunk(refusal="I can"), chunk(refusal="not.")]))
    assert [event.type.removeprefix("response.") for event in read[4:]] == [
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        *["refusal.delta"] * 2,
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.content_index for event in read if hasattr(event, "content_index")] == [0] * 4 + [1] * 5
    assert [part.type for part in read[-1].response.output[0].content] == ["output_text", "refusal"]
    assert read[-1].response.output[0].content[1].refusal == "I cannot."


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_answer_is_incomplete_and_only_its_last_item_is(finish_reason: str, reason: str) -> None:
    last = events(stream_of(renderer(), [chunk(content="a"), *CALLS[1:-1], chunk(finish_reason)]))[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == "incomplete"
    assert last.response.incomplete_details.reason == reason
    assert [item.status for item in last.response.output] == ["completed", "completed", "incomplete"]


@pytest.mark.parametrize("chunks", [[], [chunk(role="assistant", content="")], [ChatChunk(choices=[])]])
def test_a_stream_of_nothing_is_a_message_of_no_text(chunks: list[ChatChunk]) -> None:
    stream = stream_of(renderer(), chunks)
    assert kinds(stream) == [*STREAM_OPENS, *MESSAGE_OPENS, *TEXT_CLOSES, "response.completed"]


def test_usage_may_be_missing() -> None:
    assert events(renderer().end(None))[-1].response.usage is None


def test_obfuscation_is_copied_into_every_delta() -> None:
    padded = [
        chunk(obfuscation="x1", content="a"),
        chunk(obfuscation="x2", refusal="b"),
        chunk(obfuscation="x3", tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}]),
        chunk(content="d"),
    ]
    read = events(stream_of(renderer(stream=True, stream_options={"include_obfuscation": True}), padded))
    found = [getattr(event, "obfuscation", None) for event in read if event.type.endswith(".delta")]
    assert found == ["x1", "x2", "x3", None]
    assert not any(getattr(event, "obfuscation", None) for event in read if not event.type.endswith(".delta"))


def test_logprobs_are_in_the_delta_and_whole_at_the_end() -> None:
    sampled = {"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}]}
    logprobs = {"content": [sampled]}
    read = events(stream_of(renderer(top_logprobs=1), [chunk(content="é", logprobs=logprobs) for _ in range(2)]))
    delta = next(event for event in read if event.type == "response.output_text.delta")
    assert [(p.token, p.logprob, p.top_logprobs[0].token) for p in delta.logprobs] == [("é", -0.5, "e")]
    part = read[-1].response.output[0].content[0]
    assert [p.bytes for p in part.logprobs] == [[195, 169]] * 2


def test_only_a_chat_answer_can_be_rendered() -> None:
    other = Completion(choices=[])
    with pytest.raises(TypeError):
        renderer().whole(other)
    with pytest.raises(TypeError):
        renderer().chunks([other])


# --- errors ---------------------------------------------------------------------------------


def test_an_error_is_the_documented_event_and_goes_on_with_the_numbers() -> None:
    writer = renderer()
    stream = writer.chunks(TEXT[:2]) + writer.error(Denial("upstream_timeout", param="model"))
    last = events(stream)[-1]
    assert (last.type, last.code, last.param) == ("error", "upstream_timeout", "model")
    assert last.message == "The model did not answer in time."


@pytest.mark.parametrize("begun", [True, False])
def test_the_sdk_raises_an_error_of_a_stream(begun: bool) -> None:
    writer = renderer()
    stream = (writer.chunks(TEXT[:2]) if begun else b"") + writer.error(Denial("upstream_timeout"))
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, content=stream, headers={"content-type": "text/event-stream"})
    )
    with httpx.Client(transport=transport) as http, OpenAI(api_key="k", base_url="http://g", http_client=http) as sdk:
        with pytest.raises(openai.APIError, match="did not answer in time") as raised:
            list(sdk.responses.create(model="m", input="hi", stream=True))
        assert (raised.value.code, raised.value.type) == ("upstream_timeout", "server_error")


# --- the SDK --------------------------------------------------------------------------------


def test_the_sdk_accumulates_a_streamed_text() -> None:
    with client(lambda _: TEXT) as sdk, sdk.responses.stream(model="m", input="hi") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ["Hel", "Hello"]
    assert final.output_text == "Hello"
    assert final.usage is not None
    assert final.usage.total_tokens == USAGE.total_tokens


def test_the_sdk_accumulates_streamed_calls() -> None:
    with client(lambda _: CALLS) as sdk, sdk.responses.stream(model="m", input="hi", tools=[WEATHER]) as stream:
        snapshots = [e.snapshot for e in stream if e.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    assert snapshots == ['{"city":', '{"city":"Bonn"}', '{"city":"Kiel"}']
    assert [call.name for call in final.output if call.type == "function_call"] == ["weather", "weather"]


class City(pydantic.BaseModel):
    """What a structured answer is parsed into."""

    name: str
    inhabitants: int


def test_the_sdk_parses_a_structured_answer_streamed_or_not() -> None:
    said = '{"name": "Bonn", "inhabitants": 330000}'

    def model(asked: ChatRequest) -> Any:
        schema = msgspec.to_builtins(asked.response_format)["json_schema"]
        assert (schema["name"], schema["strict"]) == ("City", True)
        return [chunk(content=said)] if asked.stream else completion(content=said)

    expected = City(name="Bonn", inhabitants=330000)
    with client(model) as sdk:
        assert sdk.responses.parse(model="m", input="hi", text_format=City).output_parsed == expected
        with sdk.responses.stream(model="m", input="hi", text_format=City) as stream:
            assert stream.get_final_response().output_parsed == expected


@given(text=st.text(max_size=40), cuts=st.lists(st.integers(0, 40), max_size=8), at_once=st.integers(1, 4))
def test_however_a_text_is_cut_it_reads_as_the_whole(text: str, cuts: list[int], at_once: int) -> None:
    edges = [0, *sorted(cuts), len(text)]
    pieces = [chunk(content=text[a:b]) for a, b in itertools.pairwise(edges)]
    streamed = events(stream_of(renderer(), [*pieces, chunk("stop")], at_once))
    assert "".join(event.delta for event in streamed if event.type == "response.output_text.delta") == text
    assert streamed[-1].response == strict(renderer().whole(completion(content=text)))
