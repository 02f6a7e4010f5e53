"""Attempts, and the models that stand in."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from llmguard.errors import Denial, UpstreamFailure
from llmguard.exchange import Exchange, Head, Principal
from llmguard.settings import Settings
from llmguard.settings_policies import Policy
from llmguard.upstreams import forwarder
from llmguard.upstreams.cache_partition import CachePartition
from llmguard.upstreams.forwarder import Forwarder
from llmguard.wire.chat import ChatRequest, UserMessage
from llmguard.wire.chat_endpoint import CHAT
from tests.fakes.upstream import FakeUpstream, Step
from tests.guarded import settings

pytestmark = pytest.mark.anyio


def failure(code: str = "upstream_error", *, retryable: bool = True) -> UpstreamFailure:
    """A failure of an upstream."""
    return UpstreamFailure(Denial(code), retryable=retryable)


def chosen(retries: int, *fallbacks: str) -> Settings:
    """The model `chat` at `fake`, with these models, each at an upstream of its own name, to stand in."""
    names = ("fake", *fallbacks)
    upstreams = {name: {"kind": "openai", "base_url": f"http://{name}", "max_retries": retries} for name in names}
    models: dict[str, Any] = {name: {"task": "chat", "upstream": name, "model": f"real-{name}"} for name in fallbacks}
    models["chat"] = {"task": "chat", "upstream": "fake", "model": "real-fake", "fallbacks": list(fallbacks)}
    return settings(upstreams=upstreams, models=models, policies={"public": {}, "narrow": {}})


class Forwarding:
    """A forwarder over scripted upstreams; `tried` names each failed attempt, `paused` each pause before another."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *scripts: tuple[Step, ...],
        retries: int = 0,
        others: Mapping[str, FakeUpstream] | None = None,
        **request: Any,
    ) -> None:
        others = others or {}
        self.settings = chosen(retries, *others)
        self.upstream = FakeUpstream(*scripts, extensions=("top_k",))
        self.tried: list[tuple[str, str]] = []
        self.paused: list[float] = []
        self.forwarder = Forwarder(
            self.settings,
            {"fake": self.upstream, **others},
            CachePartition(b"k" * 32, self.settings.upstreams),
            lambda name, code: self.tried.append((name, code)),
        )
        self.exchange = Exchange(
            id="req_0",
            endpoint=CHAT,
            head=Head("POST", CHAT.path, {}, ""),
            started=0.0,
            created=0,
            read=lambda limit: None,
            principal=Principal("", "", "", "", ""),
            policy=Policy(),
            model="chat",
            request=ChatRequest(model="chat", messages=[UserMessage("hello")], **request),
            target=self.settings.models["chat"],
        )

        async def pause(seconds: float) -> None:
            self.paused.append(seconds)

        monkeypatch.setattr(forwarder.asyncio, "sleep", pause)

    async def ask(self) -> str | None:
        """The text of the whole answer."""
        answer = await self.forwarder.ask(self.exchange)
        text: str | None = answer.choices[0].message.content
        return text

    async def stream(self) -> str:
        """The text of the streamed answer."""
        self.text = ""
        async with aclosing(self.forwarder.stream(self.exchange)) as stream:
            async for events in stream:
                for event in events:
                    self.text += "".join(choice.delta.content for choice in event.choices)
        return self.text


BOTH = pytest.mark.parametrize("way", ["ask", "stream"])


@BOTH
async def test_a_model_is_asked_under_its_own_name(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forwarding = Forwarding(monkeypatch, ("hello",))
    assert await getattr(forwarding, way)() == "hello"
    assert [request.model for request in forwarding.upstream.requests] == ["real-fake"]
    assert forwarding.exchange.request.model == "chat"
    assert forwarding.tried == []


@BOTH
async def test_it_is_asked_again_where_that_can_help_after_pauses_that_double(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarding = Forwarding(monkeypatch, (failure(),), (failure("overloaded"),), ("hello",), retries=2)
    assert await getattr(forwarding, way)() == "hello"
    assert forwarding.tried == [("fake", "upstream_error"), ("fake", "overloaded")]
    assert forwarding.paused == [0.05, 0.1]


@BOTH
@pytest.mark.parametrize("retries", [0, 3])
async def test_attempts_are_bounded_and_the_last_failure_is_told(
    way: str, retries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = failure("overloaded")
    forwarding = Forwarding(monkeypatch, *[(failure(),)] * retries, (last,), retries=retries)
    with pytest.raises(UpstreamFailure) as raised:
        await getattr(forwarding, way)()
    assert raised.value is last
    assert len(forwarding.upstream.requests) == len(forwarding.tried) == retries + 1
    assert len(forwarding.paused) == retries


@BOTH
async def test_what_is_not_worth_another_attempt_gets_none(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forwarding = Forwarding(monkeypatch, (failure("upstream_timeout", retryable=False),), retries=3)
    with pytest.raises(UpstreamFailure):
        await getattr(forwarding, way)()
    assert len(forwarding.upstream.requests) == 1


@BOTH
@pytest.mark.parametrize("retryable", [True, False])
async def test_a_model_that_fails_is_stood_in_for(way: str, retryable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"second": FakeUpstream((failure(),)), "third": FakeUpstream(("third",)), "fourth": FakeUpstream()}
    forwarding = Forwarding(monkeypatch, (failure(retryable=retryable),), others=others)
    assert await getattr(forwarding, way)() == "third"
    assert [name for name, _ in forwarding.tried] == ["fake", "second"]
    assert [request.model for request in others["third"].requests] == ["real-third"]
    assert others["fourth"].requests == []


@BOTH
async def test_what_a_model_calls_invalid_is_tried_nowhere_else(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = FakeUpstream()
    invalid = failure("invalid_value", retryable=True)
    forwarding = Forwarding(monkeypatch, (invalid,), retries=3, others={"other": other})
    with pytest.raises(UpstreamFailure) as raised:
        await getattr(forwarding, way)()
    assert raised.value is invalid
    assert (len(forwarding.upstream.requests), other.requests) == (1, [])


async def test_a_stream_that_has_begun_is_never_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    other = FakeUpstream()
    broken = failure()
    forwarding = Forwarding(monkeypatch, ("one", broken), retries=3, others={"other": other})
    with pytest.raises(UpstreamFailure) as raised:
        await forwarding.stream()
    assert raised.value is broken
    assert (forwarding.text, forwarding.tried) == ("one", [("fake", "upstream_error")])
    assert (len(forwarding.upstream.requests), other.requests) == (1, [])


async def test_a_stream_that_is_closed_is_closed_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    forwarding = Forwarding(monkeypatch, ("one", "two", "three"))
    async with aclosing(forwarding.forwarder.stream(forwarding.exchange)) as stream:
        await anext(stream)
        assert forwarding.upstream.open == 1
    assert (forwarding.upstream.open, forwarding.upstream.left) == (0, 1)


@BOTH
async def test_what_is_no_failure_of_an_upstream_is_not_swallowed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forwarding = Forwarding(monkeypatch, (KeyError("a defect"),), retries=3, others={"other": FakeUpstream()})
    with pytest.raises(KeyError):
        await getattr(forwarding, way)()


@BOTH
@pytest.mark.parametrize("top_k", [0, 5])
async def test_a_stand_in_that_would_decode_otherwise_is_passed_over(
    way: str, top_k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"without": FakeUpstream(("without",)), "with": FakeUpstream(("with",), extensions=("top_k",))}
    forwarding = Forwarding(monkeypatch, (failure(),), others=others, top_k=top_k)
    assert await getattr(forwarding, way)() == "with"
    assert others["without"].requests == []


@BOTH
@pytest.mark.parametrize("missing", ["target", "request"])
async def test_an_exchange_that_was_not_admitted_goes_nowhere(
    way: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarding = Forwarding(monkeypatch)
    forwarding.exchange = msgspec.structs.replace(forwarding.exchange, **{missing: None})
    with pytest.raises(UpstreamFailure) as raised:
        await getattr(forwarding, way)()
    assert raised.value.denial.code == "internal_error"
    assert forwarding.upstream.requests == []
