"""Prompt caches are apart by tenant."""

import re
from typing import Any

import msgspec
import pytest

from llmguard.settings import EmbeddedUpstream, LiteLLMUpstream, OpenAIUpstream
from llmguard.upstreams.cache_partition import CachePartition
from llmguard.wire.chat import ChatRequest, UserMessage
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.model_request import ModelRequest
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION, UPSTREAM_URL, Guarded, settings
from tests.serving import KEY, OTHER_KEY

pytestmark = pytest.mark.anyio

CHAT_REQUEST = ChatRequest(model="m", messages=[UserMessage("hi")])
TEXT_REQUEST = CompletionRequest(model="m", prompt="hi")


def ours(engine: str, url: str = "http://10.0.0.7:8000/v1") -> OpenAIUpstream:
    """An upstream that runs this."""
    return OpenAIUpstream.model_validate({"kind": "openai", "base_url": url, "engine": engine})


UPSTREAMS = {
    "vllm": ours("vllm"),
    "sglang": ours("sglang"),
    "llamacpp": ours("llamacpp"),
    "generic": ours("generic"),
    "openai": ours("generic", "https://api.openai.com/v1"),
    "europe": ours("generic", "https://eu.api.openai.com/v1"),
    "not openai": ours("generic", "https://notapi.openai.com.example/v1"),
    "litellm": LiteLLMUpstream(kind="litellm"),
    "embedded": EmbeddedUpstream(kind="embedded"),
}


def added(request: ModelRequest, upstream: str, tenant: str = "acme", key: bytes = b"k" * 32) -> dict[str, Any]:
    """What is sent besides the request."""
    sent = msgspec.to_builtins(CachePartition(key, UPSTREAMS)(request, upstream, tenant))
    return {name: value for name, value in sent.items() if name not in msgspec.to_builtins(request)}


@pytest.mark.parametrize(
    ("upstream", "chat", "text"),
    [
        ("vllm", {"cache_salt"}, {"cache_salt"}),
        ("sglang", {"cache_salt"}, {"cache_salt"}),
        ("openai", {"prompt_cache_key"}, set()),
        ("europe", {"prompt_cache_key"}, set()),
        *((name, set(), set()) for name in ("llamacpp", "generic", "not openai", "litellm", "embedded")),
    ],
)
def test_an_upstream_is_sent_what_it_is_known_to_take(upstream: str, chat: set[str], text: set[str]) -> None:
    assert {*added(CHAT_REQUEST, upstream)} == chat
    assert {*added(TEXT_REQUEST, upstream)} == text


@pytest.mark.parametrize("upstream", ["vllm", "openai"])
def test_a_tenant_has_one_value_that_is_its_own_and_tells_no_name(upstream: str) -> None:
    (own,), (again,) = added(CHAT_REQUEST, upstream).values(), added(CHAT_REQUEST, upstream).values()
    (other,), (elsewhere,) = (
        added(CHAT_REQUEST, upstream, "globex").values(),
        added(CHAT_REQUEST, upstream, key=b"l" * 32).values(),
    )
    assert own == again
    assert len({own, other, elsewhere}) == 3
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", own)


def tenants_apart() -> Guarded:
    """A guard before vLLM whose two keys are of two tenants."""
    keys = [
        {"id": "alice", "secret": KEY, "user": "alice", "tenant": "acme", "policy": "public"},
        {"id": "bob", "secret": OTHER_KEY, "user": "bob", "tenant": "globex", "policy": "public"},
    ]
    vllm = {"kind": "openai", "base_url": UPSTREAM_URL, "engine": "vllm"}
    guard = Guarded(FakeUpstream(["Hello"]))
    guard.app.reload(settings(keys=keys, upstreams={"fake": vllm}))
    return guard


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETION)])
@pytest.mark.parametrize("stream", [False, True])
async def test_two_tenants_never_share_a_salt_and_one_always_does(path: str, body: Any, stream: bool) -> None:
    guard = tenants_apart()
    for key in (KEY, KEY, OTHER_KEY):
        assert (await guard.ask(path, {**body, "stream": stream}, key=key)).status == 200
    first, again, other = [request.cache_salt for request in guard.upstream.requests]
    assert first
    assert first == again != other


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/completions", COMPLETION)])
async def test_a_client_cannot_choose_its_salt(path: str, body: Any) -> None:
    guard = tenants_apart()
    for value in ("another's", 1, {}):
        client = await guard.ask(path, {**body, "cache_salt": value})
        assert (client.status, client.error["code"]) == (400, "parameter_not_allowed")
        assert client.error["param"] == "cache_salt"
    assert guard.upstream.requests == []


async def test_a_clients_own_cache_key_goes_no_further() -> None:
    guard = Guarded()
    assert (await guard.chat({**CHAT, "prompt_cache_key": "another's"})).status == 200
    assert guard.upstream.requests[0].prompt_cache_key is None
