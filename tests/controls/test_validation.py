"""The body: its size, its type, its schema."""

from collections.abc import Awaitable, Callable

import pytest

from llmguard.controls.validation import Validation
from llmguard.errors import BodyTooLarge, ClientGone, Denial, Refused
from llmguard.exchange import Exchange, Head, Principal
from llmguard.settings import Settings
from llmguard.settings_policies import Policy
from llmguard.uploads import Uploads
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_endpoint import CHAT
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.completions_endpoint import COMPLETIONS
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.models import MODEL, MODELS
from llmguard.wire.responses import ResponsesRequest
from llmguard.wire.responses_endpoint import RESPONSES
from tests.serving import tree

pytestmark = pytest.mark.anyio

BODY = b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"user":"u"}'
JSON = {b"content-type": b"application/json"}
LIMIT = 2000


async def never(limit: int) -> bytes:
    raise AssertionError("the body was read")


def giving(body: bytes) -> Callable[[int], Awaitable[bytes]]:
    async def read(limit: int) -> bytes:
        assert limit == LIMIT
        return body

    return read


def failing(error: Exception) -> Callable[[int], Awaitable[bytes]]:
    async def read(limit: int) -> bytes:
        raise error

    return read


def exchange(
    read: Callable[[int], Awaitable[bytes]], headers: dict[bytes, bytes] = JSON, endpoint: Endpoint = CHAT
) -> Exchange:
    return Exchange(
        id="req_0",
        endpoint=endpoint,
        head=Head(endpoint.method, endpoint.path, headers, "127.0.0.1"),
        started=0.0,
        created=0,
        read=read,
        principal=Principal("alice", "alice", "acme", "public", "127.0.0.1"),
        policy=Policy(),
    )


def validation() -> Validation:
    settings = Settings.model_validate(tree("http://127.0.0.1:1/v1", server={"max_body_bytes": LIMIT}))
    return Validation(settings, Uploads(LIMIT))


async def denied(asked: Exchange) -> Denial:
    denial = await validation().admit(asked)
    assert isinstance(denial, Denial)
    assert denial.final, "nothing is left to forward, in no mode"
    return denial


async def admitted(asked: Exchange) -> Exchange:
    found = await validation().admit(asked)
    assert isinstance(found, Exchange)
    return found


async def test_a_valid_body_is_parsed_once_into_what_is_asked_and_what_is_sent() -> None:
    found = await admitted(exchange(giving(BODY)))
    assert isinstance(found.asked, ChatRequest)
    assert isinstance(found.request, ChatRequest)
    assert (found.asked.user, found.request.user) == ("u", None)
    assert (found.model, found.stream, found.body_bytes) == ("chat", False, len(BODY))


@pytest.mark.parametrize(
    ("endpoint", "body", "asked", "sent"),
    [
        (COMPLETIONS, b'{"model":"m","prompt":"hi","stream":true}', CompletionRequest, CompletionRequest),
        (RESPONSES, b'{"model":"m","input":"hi","stream":true}', ResponsesRequest, ChatRequest),
    ],
)
async def test_each_endpoint_has_its_own_shape(endpoint: Endpoint, body: bytes, asked: type, sent: type) -> None:
    found = await admitted(exchange(giving(body), endpoint=endpoint))
    assert type(found.asked) is asked
    assert type(found.request) is sent
    assert (found.model, found.stream) == ("m", True)


@pytest.mark.parametrize("endpoint", [MODELS, MODEL])
async def test_an_endpoint_without_a_body_is_let_pass_unread(endpoint: Endpoint) -> None:
    asked = exchange(never, {}, endpoint)
    assert await validation().admit(asked) is asked


@pytest.mark.parametrize(
    "media", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON", b" application/json ;x=y"]
)
async def test_json_by_any_spelling_is_read(media: bytes) -> None:
    await admitted(exchange(giving(BODY), {b"content-type": media}))


@pytest.mark.parametrize(
    "media", [None, b"", b"text/plain", b"application/jsonx", b"application/json+x", b"\xff", b"text/application/json"]
)
async def test_another_media_type_is_refused_unread(media: bytes | None) -> None:
    denial = await denied(exchange(never, {} if media is None else {b"content-type": media}))
    assert (denial.code, denial.row.status) == ("unsupported_media_type", 415)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate, identity", b"zstd", b""])
async def test_a_compressed_body_is_refused_unread(coding: bytes) -> None:
    denial = await denied(exchange(never, JSON | {b"content-encoding": coding}))
    assert (denial.code, denial.row.status) == ("unsupported_media_type", 415)


async def test_an_identity_coding_is_read() -> None:
    await admitted(exchange(giving(BODY), JSON | {b"content-encoding": b"identity"}))


async def test_a_body_beyond_the_limit_is_refused_and_the_limit_told() -> None:
    denial = await denied(exchange(failing(BodyTooLarge())))
    assert (denial.code, denial.row.status) == ("request_too_large", 413)
    assert denial.text == "The request body is larger than 2000 bytes."


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_value", None),
        (b"{}", "invalid_value", "model"),
        (BODY[:-1] + b',"foo":1}', "unknown_parameter", "foo"),
        (BODY[:-1] + b',"user":"v"}', "invalid_value", "user"),
        (BODY[:-1] + b',"store":true}', "parameter_not_allowed", "store"),
    ],
)
async def test_a_body_that_is_not_valid_names_the_parameter(body: bytes, code: str, param: str | None) -> None:
    denial = await denied(exchange(giving(body)))
    assert (denial.code, denial.param, denial.row.status) == (code, param, 400)


@pytest.mark.parametrize("error", [ClientGone(), Refused(Denial("request_timeout", final=True))])
async def test_a_body_that_never_came_is_the_guards_to_answer(error: Exception) -> None:
    with pytest.raises(type(error)):
        await validation().admit(exchange(failing(error)))
