"""What the tests of the litellm upstream ask, and the upstream that they ask."""

from typing import Any

import msgspec
import pytest

from llmguard.errors import UpstreamFailure
from llmguard.settings import LiteLLMUpstream
from llmguard.upstreams.litellm import LiteLLM
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest
from tests.fakes.anthropic import FakeAnthropic, Reply

# litellm ignores this one itself, when it is imported; pytest undoes that after each test.
READ_ONLY = pytest.mark.filterwarnings("ignore:Item .* is using the `ReadOnly` qualifier:UserWarning")
MODEL = "anthropic/claude-sonnet-4-5"
PROMPT = "the-clients-secret-prompt"
PROVIDER_TEXT = "the-providers-own-words"
KEY = "the-operators-key"
SHORT_S = 0.5
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
CALLS_TOOL = Reply(blocks=({"type": "text", "text": "I look."}, TOOL_USE), stop_reason="tool_use")


def upstream_to(fake: FakeAnthropic, **settings: Any) -> LiteLLM:
    return LiteLLM(LiteLLMUpstream(**{"kind": "litellm", "api_key": KEY, "api_base": fake.url, **settings}))


def chat(**fields: Any) -> ChatRequest:
    given = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], **fields}
    return msgspec.convert(given, ChatRequest)


def text(**fields: Any) -> CompletionRequest:
    return msgspec.convert({"model": MODEL, "prompt": PROMPT, **fields}, CompletionRequest)


async def chunks(upstream: LiteLLM, request: ChatRequest | CompletionRequest) -> list[Event]:
    return [event async for events in upstream.stream(request) for event in events]


async def failure(
    upstream: LiteLLM, request: ChatRequest | CompletionRequest, *, stream: bool = False
) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as raised:
        await (chunks(upstream, request) if stream else upstream.ask(request))
    return raised.value
