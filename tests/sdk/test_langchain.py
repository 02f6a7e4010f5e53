"""LangChain's ChatOpenAI against the running guard."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.fakes import Answer, FakeOpenAI, Fault
from tests.sdk.setting import City
from tests.serving import KEY, OTHER_KEY, Running

pytestmark = pytest.mark.anyio

Make = Callable[..., ChatOpenAI]


@pytest.fixture
def make(guard: Running) -> Make:
    """Makes a client of the guard."""

    def made(**more: Any) -> ChatOpenAI:
        given = {"base_url": guard.v1, "api_key": KEY, "model": "chat", "max_retries": 0, "timeout": 10, **more}
        return ChatOpenAI(**given)

    return made


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


@pytest.mark.parametrize("responses", [False, True])
async def test_invoke(make: Make, fake: FakeOpenAI, responses: bool) -> None:
    answer = await make(use_responses_api=responses, temperature=0.5, max_tokens=50).ainvoke("Say hello to me")
    assert answer.text == fake.answer.text
    assert answer.response_metadata["model_name"] == "chat"
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (4, 6)
    assert fake.requests[-1].body["temperature"] == 0.5


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("usage", [False, True])
async def test_stream(make: Make, fake: FakeOpenAI, usage: bool, responses: bool) -> None:
    whole: Any = None
    async for chunk in make(stream_usage=usage, use_responses_api=responses).astream("Say hello to me"):
        whole = chunk if whole is None else whole + chunk
    assert whole.text == fake.answer.text
    if usage or responses:  # the Responses API always tells it
        assert whole.usage_metadata["total_tokens"] == 10
    else:
        assert whole.usage_metadata is None


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("streams", [False, True])
async def test_tools_and_back(make: Make, fake: FakeOpenAI, streams: bool, responses: bool) -> None:
    model = make(use_responses_api=responses, streaming=streams).bind_tools([weather])
    history: list[BaseMessage] = [HumanMessage("How is the weather?")]
    called = await model.ainvoke(history)
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Zürich"})
    assert (call["id"] or "").startswith("call_")
    history += [called, ToolMessage(weather(**call["args"]), tool_call_id=call["id"])]
    last = await make(use_responses_api=responses, streaming=streams).ainvoke(history)
    assert last.text == fake.answer.text
    assistant, tool = fake.requests[-1].body["messages"][1:]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == call["id"]
    assert tool["content"] == "sunny in Zürich"


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
# The SDK warns of its own parsed field when LangChain dumps the message.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_structured_output(make: Make, fake: FakeOpenAI, method: Any, responses: bool) -> None:
    fake.answer = Answer(chunks=('{"city":', ' "Zürich"}'))
    model = make(use_responses_api=responses).with_structured_output(City, method=method)
    assert await model.ainvoke("Where? Answer in JSON.") == City(city="Zürich")


async def test_a_batch(make: Make, fake: FakeOpenAI) -> None:
    answers = await make().abatch(["one", "two", "three"])
    assert [answer.text for answer in answers] == [fake.answer.text] * 3


@pytest.mark.parametrize("responses", [False, True])
async def test_errors_are_the_sdks(make: Make, fake: FakeOpenAI, responses: bool) -> None:
    cases: list[tuple[dict[str, Any], type[openai.APIStatusError], str]] = [
        ({"api_key": "wrong"}, openai.AuthenticationError, "invalid_api_key"),
        ({"model": "none"}, openai.NotFoundError, "model_not_found"),
        ({"temperature": 3}, openai.BadRequestError, "invalid_value"),
    ]
    if responses:
        cases.append(({"api_key": OTHER_KEY, "model": "other"}, openai.PermissionDeniedError, "endpoint_not_allowed"))
    for given, kind, code in cases:
        with pytest.raises(kind) as caught:
            await make(use_responses_api=responses, **given).ainvoke("x")
        assert (caught.value.code, (caught.value.request_id or "")[:4]) == (code, "req_")
    fake.script(Fault.STATUS(500), Fault.CUT.after(3))
    with pytest.raises(openai.InternalServerError):
        await make(use_responses_api=responses).ainvoke("x")
    with pytest.raises(openai.APIError) as broken:
        await make(use_responses_api=responses, streaming=True).ainvoke("x")
    assert broken.value.code == "upstream_error"


async def test_it_asks_again(make: Make, fake: FakeOpenAI) -> None:
    fake.script(Fault.STATUS(500), None)
    assert (await make(max_retries=1).ainvoke("x")).text == fake.answer.text
    assert len(fake.requests) == 2
