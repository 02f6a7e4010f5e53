"""The official Python SDK against the running guard: every failure is the exception that the SDK has for it."""

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes import Answer, FakeOpenAI, Fault
from tests.ports import free_port
from tests.sdk.setting import MESSAGES, TOOLS, settings
from tests.serving import KEY, OTHER_KEY, Running, running

pytestmark = pytest.mark.anyio

OURS = {"x-request-id", "openai-processing-ms", "date"}
"""Headers that differ from one request to the next."""


class Hurried(AsyncOpenAI):
    """A client that does not wait before it asks again, and tells how long it would have."""

    def __init__(self, guard: Running, max_retries: int) -> None:
        super().__init__(base_url=guard.v1, api_key=KEY, max_retries=max_retries, timeout=10)
        self.waits: list[float] = []

    def _calculate_retry_timeout(self, *given: Any, **named: Any) -> float:
        self.waits.append(super()._calculate_retry_timeout(*given, **named))
        return 0.0


def chat(client: AsyncOpenAI, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": "chat", "messages": MESSAGES, **more})


def bob(guard: Running) -> AsyncOpenAI:
    """The client of someone who may use the chat endpoint, and not the model `chat`."""
    return AsyncOpenAI(base_url=guard.v1, api_key=OTHER_KEY, max_retries=0, timeout=10)


async def read_into(got: list[Any], stream: Any) -> None:
    """Read a stream to its end, keeping what came before it broke."""
    async for event in stream:
        got.append(event)


def told(error: openai.APIStatusError) -> tuple[int, str | None, str | None]:
    """Status, code and parameter; the id is there and the message is the guard's."""
    assert (error.request_id or "").startswith("req_")
    assert error.response.headers["openai-processing-ms"].isdigit()
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    return error.status_code, error.code, error.param


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"extra_body": {"guided_regex": "x"}}, "guided_regex", "unknown_parameter"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": "x", "trust": 1}]}, "messages[0].trust", "unknown_parameter"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "invalid_value"),
        ({"store": True}, "store", "parameter_not_allowed"),
    ],
)
async def test_a_bad_request_names_the_parameter(
    client: AsyncOpenAI, fake: FakeOpenAI, asked: Any, param: str, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await chat(client, **asked)
    assert told(caught.value) == (400, code, param)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert not fake.requests


@pytest.mark.parametrize(
    ("param", "value"), [("previous_response_id", "resp_1"), ("conversation", "conv_1"), ("background", True)]
)
async def test_a_response_that_needs_state(client: AsyncOpenAI, param: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="chat", input="x", **{param: value})
    assert told(caught.value) == (400, "parameter_not_allowed", param)


async def test_a_wrong_key(guard: Running, fake: FakeOpenAI) -> None:
    async with AsyncOpenAI(base_url=guard.v1, api_key="wrong", max_retries=2) as client:
        for asking in (chat(client), chat(client, stream=True), client.models.retrieve("chat")):
            with pytest.raises(openai.AuthenticationError) as caught:
                await asking
            assert told(caught.value) == (401, "invalid_api_key", None)
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    assert len(await guard.audit.until(4)) == 4
    assert not fake.requests


async def test_permission_denied(guard: Running, client: AsyncOpenAI) -> None:
    async with bob(guard) as other:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await other.completions.create(model="other", prompt="x")
    assert told(caught.value) == (403, "endpoint_not_allowed", None)
    for form in ({}, {"encoding_format": "float"}, {"dimensions": 8}):
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await client.embeddings.create(model="chat", input=["x"], **form)
        assert told(caught.value) == (403, "embeddings_not_exported", None)


async def test_a_forbidden_model_looks_like_an_unknown_one(guard: Running) -> None:
    async with bob(guard) as client:
        assert [model.id async for model in client.models.list()] == ["other"]
        for asking in (lambda name: chat(client, model=name), client.models.retrieve):
            answers = []
            for name in ("chat", "none"):
                with pytest.raises(openai.NotFoundError) as caught:
                    await asking(name)
                assert told(caught.value) == (404, "model_not_found", "model")
                headers = {k: v for k, v in caught.value.response.headers.items() if k not in OURS}
                answers.append((caught.value.response.content, headers))
            assert answers[0] == answers[1]


async def test_a_url_that_is_not_served(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.batches.retrieve("batch-1")
    assert (caught.value.code, caught.value.type) == ("unknown_url", "invalid_request_error")
    assert (caught.value.request_id or "").startswith("req_")


@pytest.mark.parametrize("size", [300_000, 30_000_000])
async def test_too_large(client: AsyncOpenAI, size: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await chat(client, messages=[{"role": "user", "content": "x" * size}])
    assert told(caught.value) == (413, "request_too_large", None)


async def test_another_media_type(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await chat(client, extra_headers={"content-type": "text/plain"})
    assert told(caught.value) == (415, "unsupported_media_type", None)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (500, (502, "upstream_error", None)),
        (401, (502, "upstream_error", None)),
        (429, (503, "overloaded", None)),
        (504, (504, "upstream_timeout", None)),
    ],
)
async def test_the_upstream_fails(
    client: AsyncOpenAI, fake: FakeOpenAI, status: int, expected: Any, streams: bool
) -> None:
    fake.fault = Fault.STATUS(status)
    for asking in (
        chat(client, stream=streams),
        client.completions.create(model="chat", prompt="x", stream=streams),
        client.responses.create(model="chat", input="x", stream=streams),
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await asking
        assert told(caught.value) == expected
        assert caught.value.type == "server_error"
        assert caught.value.response.headers.get("retry-after") == ("7" if status == 429 else None)


async def test_the_upstream_calls_the_request_invalid(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.fault = Fault.STATUS(400)
    with pytest.raises(openai.BadRequestError) as caught:
        await chat(client)
    assert told(caught.value) == (400, "invalid_value", None)


async def test_a_silent_upstream(fake: FakeOpenAI) -> None:
    fake.fault = Fault.HANG
    async with running(settings(fake.url, timeout_s=0.1)) as guard:
        async with AsyncOpenAI(base_url=guard.v1, api_key=KEY, max_retries=0) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await chat(client)
    guard.audit.ended()
    assert told(caught.value) == (504, "upstream_timeout", None)


async def test_the_client_runs_out_of_patience(client: AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.fault = Fault.HANG
    with pytest.raises(openai.APITimeoutError):
        await chat(client, timeout=0.3)
    await fake.wait_disconnect()


async def test_no_guard(fake: FakeOpenAI) -> None:
    async with AsyncOpenAI(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.APIConnectionError):
            await chat(client)


@pytest.mark.parametrize(("status", "waits"), [(500, None), (503, [7.0])], ids=["502", "503"])
async def test_the_sdk_asks_again_and_succeeds(
    guard: Running, fake: FakeOpenAI, status: int, waits: list[float] | None
) -> None:
    fake.script(Fault.STATUS(status), None)
    async with Hurried(guard, max_retries=2) as client:
        raw = await client.chat.completions.with_raw_response.create(model="chat", messages=MESSAGES)
        assert raw.parse().choices[0].message.content == fake.answer.text
        assert raw.retries_taken == 1
        assert waits is None or client.waits == waits  # what the upstream asked for reaches the client
    assert [line["status"] for line in await guard.audit.until(2)] == [502 if status == 500 else 503, 200]


async def test_the_sdk_gives_up_in_the_end(guard: Running, fake: FakeOpenAI) -> None:
    fake.fault = Fault.STATUS(500)
    async with Hurried(guard, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError):
            await chat(client, stream=True)
    assert len(fake.requests) == 3


async def test_the_sdk_does_not_ask_again_in_vain(fake: FakeOpenAI) -> None:
    fake.fault = Fault.STATUS(400)
    async with running(settings(fake.url)) as guard, Hurried(guard, max_retries=2) as client:
        with pytest.raises(openai.BadRequestError):
            await chat(client)
        with pytest.raises(openai.PermissionDeniedError):
            await client.embeddings.create(model="chat", input="x")
        assert client.waits == []
    assert (len(guard.audit.ended()), len(fake.requests)) == (2, 1)


@pytest.mark.parametrize("fault", [Fault.ERROR_FRAME, Fault.CUT, Fault.RESET_MID_STREAM, Fault.BAD_JSON], ids=str)
@pytest.mark.parametrize("endpoint", ["chat", "completions", "responses"])
async def test_a_stream_breaks(client: AsyncOpenAI, fake: FakeOpenAI, fault: Fault, endpoint: str) -> None:
    fake.fault = fault.after(3)
    asking = {
        "chat": lambda: chat(client, stream=True),
        "completions": lambda: client.completions.create(model="chat", prompt="x", stream=True),
        "responses": lambda: client.responses.create(model="chat", input="x", stream=True),
    }
    got: list[Any] = []
    stream = await asking[endpoint]()
    with pytest.raises(openai.APIError) as caught:
        await read_into(got, stream)
    assert type(caught.value) is openai.APIError
    assert (caught.value.code, caught.value.type) == ("upstream_error", "server_error")
    assert caught.value.message == "The model could not answer."
    assert len(got) >= 3


@pytest.mark.parametrize("endpoint", ["chat", "responses"])
async def test_a_stream_helper_breaks(client: AsyncOpenAI, fake: FakeOpenAI, endpoint: str) -> None:
    fake.fault = Fault.CUT.after(3)
    streams: Any = {
        "chat": lambda: client.chat.completions.stream(model="chat", messages=MESSAGES, tools=TOOLS),
        "responses": lambda: client.responses.stream(model="chat", input="x"),
    }
    with pytest.raises(openai.APIError) as caught:
        async with streams[endpoint]() as stream:
            await stream.until_done()
    assert caught.value.code == "upstream_error"


async def test_a_stream_that_stops_coming(fake: FakeOpenAI) -> None:
    fake.answer = Answer(pause_after=3)
    async with running(settings(fake.url, timeout_s=0.2)) as guard:
        async with AsyncOpenAI(base_url=guard.v1, api_key=KEY, max_retries=0) as client:
            with pytest.raises(openai.APIError) as caught:
                await read_into([], await chat(client, stream=True))
    guard.audit.ended()
    assert caught.value.code == "upstream_timeout"


async def test_the_synchronous_client_sees_the_same(guard: Running, fake: FakeOpenAI) -> None:
    fake.script(Fault.STATUS(500), Fault.STATUS(503), Fault.CUT.after(3))
    assert await asyncio.to_thread(failures, guard.v1) == [
        ("InternalServerError", "upstream_error"),
        ("InternalServerError", "overloaded"),
        ("APIError", "upstream_error"),
        ("NotFoundError", "model_not_found"),
        ("PermissionDeniedError", "embeddings_not_exported"),
    ]


def failures(url: str) -> list[tuple[str, str | None]]:
    """The exceptions of the synchronous client, by type and code."""
    seen = []
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=10) as client:
        calls: list[Any] = [
            lambda: client.chat.completions.create(model="chat", messages=MESSAGES),
            lambda: client.completions.create(model="chat", prompt="x", stream=True),
            lambda: list(client.responses.create(model="chat", input="x", stream=True)),
            lambda: client.models.retrieve("none"),
            lambda: client.embeddings.create(model="chat", input="x"),
        ]
        for call in calls:
            with pytest.raises(openai.APIError) as caught:
                call()
            seen.append((type(caught.value).__name__, caught.value.code))
    return seen
