"""The official Python SDK, asynchronous and not, against the running guard: what it asks for is what it gets."""

import asyncio
import re
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes import Answer, FakeOpenAI
from tests.sdk.setting import ARGUMENTS, FLAT_TOOLS, MESSAGES, TOOLS, City, text
from tests.serving import KEY, Running

pytestmark = pytest.mark.anyio

CALL_ID = re.compile(r"call_[0-9a-f]{24}")
WITH_USAGE: Any = {"include_usage": True}
# The SDK warns of its own parsed fields when it is handed back the message that it made.
hands_back_parsed = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")


def chat(client: AsyncOpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="chat", messages=MESSAGES, **more)


async def streamed(client: AsyncOpenAI, **more: Any) -> list[Any]:
    return [chunk async for chunk in await chat(client, stream=True, **more)]


async def test_chat(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    answer = await chat(client, n=2, temperature=0.5, stop=["x"], seed=7)
    assert (answer.object, answer.model, answer.system_fingerprint) == ("chat.completion", "chat", None)
    assert [choice.message.content for choice in answer.choices] == [fake.answer.text] * 2
    assert [(choice.index, choice.finish_reason) for choice in answer.choices] == [(0, "stop"), (1, "stop")]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 12, 16)
    assert answer.id == "chatcmpl-" + answer._request_id.removeprefix("req_")
    sent = fake.requests[-1].body
    assert (sent["model"], sent["n"], sent["temperature"], sent["seed"]) == ("upstream-model", 2, 0.5, 7)


async def test_a_stream_mentions_usage_only_when_asked(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    without = await streamed(client)
    assert text(without) == fake.answer.text
    assert all("usage" not in chunk.model_fields_set and chunk.choices for chunk in without)
    assert without[-1].choices[0].finish_reason == "stop"
    assert {(chunk.id, chunk.object, chunk.model) for chunk in without} == {
        (without[0].id, "chat.completion.chunk", "chat")
    }
    *chunks, last = await streamed(client, stream_options=WITH_USAGE)
    assert text(chunks) == fake.answer.text
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks)
    assert (last.choices, last.usage.prompt_tokens, last.usage.total_tokens) == ([], 4, 10)


async def test_log_probabilities_come_to_those_who_ask(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    asked = await chat(client, logprobs=True, top_logprobs=2)
    assert [token.token for token in asked.choices[0].logprobs.content] == list(fake.answer.chunks)
    fake.answer = Answer(leak_logprobs=True)
    older = await client.completions.create(model="chat", prompt="x", logprobs=0)
    assert older.choices[0].logprobs is not None
    assert older.choices[0].logprobs.tokens == list(fake.answer.chunks)
    assert (await chat(client)).choices[0].logprobs is None
    assert all(chunk.choices[0].logprobs is None for chunk in await streamed(client))


async def test_a_stream_of_two_choices(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    chunks = await streamed(client, n=2)
    for index in (0, 1):
        said = [choice.delta.content or "" for c in chunks for choice in c.choices if choice.index == index]
        assert "".join(said) == fake.answer.text


async def test_the_stream_helper_accumulates_the_whole_answer(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    asked = client.chat.completions.stream(model="chat", messages=MESSAGES, stream_options=WITH_USAGE)
    async with asked as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert (final.choices[0].message.content, final.choices[0].finish_reason) == (fake.answer.text, "stop")
    assert (final.usage.total_tokens, final.model) == (10, "chat")


async def test_leaving_a_stream_closes_the_upstream(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.answer = Answer(pause_after=2)
    async with await chat(client, stream=True) as stream:
        await anext(aiter(stream))
    await fake.wait_disconnect()


async def test_tools_and_back(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    choice = (await chat(client, tools=TOOLS, tool_choice="auto", parallel_tool_calls=False)).choices[0]
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, call.type, call.function.name) == ("tool_calls", "function", "weather")
    assert call.function.arguments == ARGUMENTS
    assert CALL_ID.fullmatch(call.id)
    assert (await second_turn(client, choice.message, call.id)) == fake.answer.text
    *_, assistant, tool = fake.requests[-1].body["messages"]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == call.id
    assert assistant["tool_calls"][0]["function"] == {"name": "weather", "arguments": ARGUMENTS}
    # As a dictionary with every null, which is how a history is stored.
    assert (await second_turn(client, choice.message.model_dump(), call.id)) == fake.answer.text


async def second_turn(client: AsyncOpenAI, message: Any, call_id: str) -> str:
    """What is answered once the tool has run."""
    told = {"role": "tool", "tool_call_id": call_id, "content": "sunny"}
    answer = await client.chat.completions.create(
        model="chat", messages=[*MESSAGES, message, told], tools=TOOLS, tool_choice="none"
    )
    return str(answer.choices[0].message.content)


@hands_back_parsed
async def test_a_streamed_tool_call_has_one_id(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    chunks = await streamed(client, tools=TOOLS)
    pieces = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    assert "".join(piece.function.arguments for piece in pieces) == ARGUMENTS
    (named,) = {piece.id for piece in pieces if piece.id}
    assert CALL_ID.fullmatch(named)
    async with client.chat.completions.stream(model="chat", messages=MESSAGES, tools=TOOLS) as stream:
        message = (await stream.get_final_completion()).choices[0].message
    (call,) = message.tool_calls
    assert (call.function.name, call.function.parsed_arguments) == ("weather", {"city": "Zürich"})
    assert CALL_ID.fullmatch(call.id)
    assert (await second_turn(client, message, call.id)) == fake.answer.text


@hands_back_parsed
async def test_parse_into_a_model_and_back(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.answer = Answer(chunks=('{"city":', ' "Zürich"}'))
    parsed = await client.chat.completions.parse(model="chat", messages=MESSAGES, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Zürich")
    assert fake.requests[-1].body["response_format"]["json_schema"]["schema"]["required"] == ["city"]
    # Parsed messages carry what the SDK made of them; they are handed back as they are.
    history = [*MESSAGES, parsed.choices[0].message, {"role": "user", "content": "And now?"}]
    await client.chat.completions.parse(model="chat", messages=history, response_format=City)
    assert fake.requests[-1].body["messages"][1] == {"role": "assistant", "content": '{"city": "Zürich"}'}


@hands_back_parsed
async def test_parse_tools_into_a_model_and_back(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    tools = [openai.pydantic_function_tool(City, name="weather")]
    message = (await client.chat.completions.parse(model="chat", messages=MESSAGES, tools=tools)).choices[0].message
    (call,) = message.tool_calls
    assert call.function.parsed_arguments == City(city="Zürich")
    assert (await second_turn(client, message, call.id)) == fake.answer.text
    assert fake.requests[-1].body["messages"][1]["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": ARGUMENTS,
    }


async def test_completions(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    answer = await client.completions.create(model="chat", prompt=["one two", "three"], n=2)
    assert [choice.text for choice in answer.choices] == [fake.answer.text] * 4
    assert (answer.object, answer.model, answer.usage.prompt_tokens) == ("text_completion", "chat", 3)
    assert answer.id.startswith("cmpl-")
    stream = await client.completions.create(model="chat", prompt="x", stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == fake.answer.text
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    stream = await client.completions.create(model="chat", prompt="x", stream=True, stream_options=WITH_USAGE)
    *chunks, last = [chunk async for chunk in stream]
    assert all(chunk.usage is None for chunk in chunks)
    assert (last.choices, last.usage.total_tokens) == ([], 7)


async def test_responses(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    answer = await client.responses.create(model="chat", input="Say hello", instructions="Be kind", max_output_tokens=9)
    assert (answer.status, answer.model, answer.output_text) == ("completed", "chat", fake.answer.text)
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (4, 6, 10)
    assert answer.id == "resp_" + answer._request_id.removeprefix("req_")
    assert [message["role"] for message in fake.requests[-1].body["messages"]] == ["system", "user"]


async def test_a_response_is_streamed(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    stream = await client.responses.create(model="chat", input="Say hello", stream=True)
    events = [event async for event in stream]
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == fake.answer.text
    async with client.responses.stream(model="chat", input="Say hello") as helper:
        final = await helper.get_final_response()
    assert (final.output_text, final.usage.total_tokens) == (fake.answer.text, 8)


@hands_back_parsed
async def test_responses_parse_into_a_model(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.answer = Answer(chunks=('{"city":', ' "Zürich"}'))
    parsed = await client.responses.parse(model="chat", input="Where?", text_format=City)
    assert parsed.output_parsed == City(city="Zürich")
    async with client.responses.stream(model="chat", input="Where?", text_format=City) as stream:
        assert (await stream.get_final_response()).output_parsed == City(city="Zürich")
    history: Any = [{"role": "user", "content": "Where?"}, *parsed.output, {"role": "user", "content": "Sure?"}]
    assert (await client.responses.parse(model="chat", input=history, text_format=City)).output_parsed is not None


@pytest.mark.parametrize("streams", [False, True])
async def test_responses_tools_and_back(client: AsyncOpenAI, fake: FakeOpenAI, streams: bool) -> None:
    asked: Any = {"model": "chat", "input": "Weather?", "tools": FLAT_TOOLS}
    if streams:
        async with client.responses.stream(**asked) as stream:
            answer: Any = await stream.get_final_response()
    else:
        answer = await client.responses.create(**asked)
    (call,) = answer.output
    assert (call.type, call.name, call.arguments) == ("function_call", "weather", ARGUMENTS)
    assert CALL_ID.fullmatch(call.call_id)
    told = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    history: Any = [{"role": "user", "content": "Weather?"}, *answer.output, told]
    last = await client.responses.create(model="chat", input=history, tools=FLAT_TOOLS, tool_choice="none")
    assert last.output_text == fake.answer.text
    assert fake.requests[-1].body["messages"][-1] == {"role": "tool", "content": "sunny", "tool_call_id": call.call_id}


async def test_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["chat", "other", "org/model"]
    for name in ("chat", "org/model"):
        model = await client.models.retrieve(name)
        assert (model.id, model.object, model.owned_by) == (name, "model", "llmguard")
    answer = await client.chat.completions.create(model="org/model", messages=MESSAGES)
    assert answer.model == "org/model"


async def test_our_headers(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="chat", messages=MESSAGES)
    assert re.fullmatch(r"req_[0-9a-f]{32}", raw.headers["x-request-id"])
    assert raw.headers["openai-processing-ms"].isdigit()
    async with client.chat.completions.with_streaming_response.create(
        model="chat", messages=MESSAGES, stream=True
    ) as streaming:
        assert re.fullmatch(r"req_[0-9a-f]{32}", streaming.headers["x-request-id"])
        assert streaming.headers["openai-processing-ms"].isdigit()
        assert streaming.headers["content-type"].startswith("text/event-stream")
        assert (await streaming.text()).endswith("data: [DONE]\n\n")


async def test_the_key_in_azures_header(guard: Running, fake: FakeOpenAI) -> None:
    async with AsyncOpenAI(base_url=guard.v1, api_key="unused", default_headers={"api-key": KEY}) as client:
        answer = await chat(client, extra_headers={"Authorization": openai.Omit()})
    assert answer.choices[0].message.content == fake.answer.text
    received = fake.requests[-1].headers
    assert (received["authorization"], "api-key" in received) == ("Bearer upstream-key", False)


async def test_the_synchronous_client(guard: Running, fake: FakeOpenAI) -> None:
    said = await asyncio.to_thread(everything, guard.v1)
    assert said == [fake.answer.text] * 5


def everything(url: str) -> list[str]:
    """What the synchronous client is told on every endpoint, streamed and not."""
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=10) as client:
        whole = client.chat.completions.create(model="chat", messages=MESSAGES)
        chunks = list(client.chat.completions.create(model="chat", messages=MESSAGES, stream=True))
        with client.chat.completions.stream(model="chat", messages=MESSAGES) as stream:
            final = stream.get_final_completion()
        pieces = list(client.completions.create(model="chat", prompt="x", stream=True))
        response = client.responses.create(model="chat", input="x")
        assert [model.id for model in client.models.list()] == ["chat", "other", "org/model"]
    return [
        whole.choices[0].message.content or "",
        text(chunks),
        final.choices[0].message.content or "",
        "".join(piece.choices[0].text for piece in pieces),
        response.output_text,
    ]
