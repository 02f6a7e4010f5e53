"""The request path: order, and who settles, however it ends."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import pytest

from llmguard import connection
from llmguard.catalogue import Catalogue
from llmguard.control import Control, Step
from llmguard.errors import ClientGone, Denial, Refused, UpstreamFailure
from llmguard.exchange import Exchange, Outcome
from llmguard.guard import Guard
from llmguard.pace import Pace
from llmguard.upstreams.cache_partition import CachePartition
from llmguard.upstreams.forwarder import Forwarder
from llmguard.wire.answer import Event
from llmguard.wire.chat_endpoint import CHAT as CHAT_ENDPOINT
from llmguard.wire.models import MODELS
from llmguard.wire.request import parse
from tests.fakes.clock import FakeClock
from tests.fakes.connection import FakeClient, encoded
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, STREAM, Guarded, settings
from tests.serving import http, running, tree

pytestmark = pytest.mark.anyio

SECRET = "sk-what-a-client-wrote"
BROKEN = UpstreamFailure(Denial("upstream_error"), retryable=False)


class Recorder(Step):
    """Writes its name down at each step, then does what it was told to at that step."""

    def __init__(
        self,
        name: str,
        said: list[str],
        *,
        on_error: Literal["deny", "allow"] = "deny",
        admit: Callable[[], Denial | None] = lambda: None,
        release: Callable[[], object] = lambda: None,
        settle: Callable[[], object] = lambda: None,
    ) -> None:
        self._name, self._said, self._on_error = name, said, on_error
        self._admit, self._release, self._settle = admit, release, settle
        self.outcomes: list[Outcome] = []
        self.settled: list[Exchange] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def on_error(self) -> Literal["deny", "allow"]:
        return self._on_error

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        self._said.append(f"admit {self._name}")
        return self._admit() or exchange

    def release(self, exchange: Exchange, event: Event) -> Event:
        self._said.append(f"release {self._name}")
        self._release()
        return event

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        self._said.append(f"settle {self._name}")
        self.outcomes.append(outcome)
        self.settled.append(exchange)
        self._settle()


class Understand(Step):
    """What validation and models do, for a body that is right."""

    def __init__(self, body: object) -> None:
        self._asked = parse(encoded(body), CHAT_ENDPOINT.request)

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        await exchange.read(1 << 20)
        asked, target = self._asked, settings().models["chat"]
        changes = {"asked": asked, "request": asked, "model": "chat", "stream": bool(asked.stream), "target": target}
        return msgspec.structs.replace(exchange, **changes)


class Path:
    """A guard with the recorders a, b and c, of which each can be told what to do."""

    def __init__(
        self,
        upstream: FakeUpstream | None = None,
        body: object = CHAT,
        *,
        observe: bool = False,
        **told: dict[str, Any],
    ) -> None:
        self.said: list[str] = []
        self.recorders = [Recorder(name, self.said, **told.get(name, {})) for name in "abc"]
        self.upstream = upstream or FakeUpstream()
        self.client = FakeClient(json=body)
        chosen = settings()
        controls: Sequence[Control] = [*self.recorders[:2], Understand(body), self.recorders[2]]
        self.guard = Guard(
            controls,
            Forwarder(chosen, {"fake": self.upstream}, CachePartition(b"", {}), lambda upstream, code: None),
            Catalogue(chosen, 0).services,
            observe=observe,
            address=lambda head: head.peer,
            pace=Pace({}, lambda: 0.0),
            clock=FakeClock(),
            new_id=lambda: "0" * 32,
        )

    async def serve(self) -> FakeClient:
        """Serve the client."""
        await self.guard(CHAT_ENDPOINT, self.client.connection())
        return self.client

    @property
    def outcome(self) -> Outcome:
        """What every control that settled was told; they are told the same, once."""
        outcomes = [outcome for recorder in self.recorders for outcome in recorder.outcomes]
        assert all(outcome is outcomes[0] for outcome in outcomes)
        return outcomes[0]

    def steps(self, step: str) -> str:
        """The names at this step, in the order of calls."""
        return "".join(said[-1] for said in self.said if said.startswith(step))


def deny(code: str = "endpoint_not_allowed", **more: Any) -> dict[str, Any]:
    """A recorder's `admit` that refuses."""
    return {"admit": lambda: Denial(code, **more)}


def fail(step: str, error: BaseException | None = None, **more: Any) -> dict[str, Any]:
    """A recorder's step that raises."""

    def raising() -> None:
        raise error or ValueError(SECRET)

    return {step: raising, **more}


# --- order --------------------------------------------------------------------------------


async def test_admit_in_order_release_and_settle_in_reverse() -> None:
    path = Path()
    client = await path.serve()
    assert client.status == 200
    assert path.said == [f"{step} {name}" for step, names in ORDER for name in names]
    assert (path.outcome.decision, path.outcome.status, path.outcome.code) == ("allow", 200, "")
    assert path.outcome.sent_bytes == len(client.body)
    assert path.outcome.usage is not None


ORDER = [("admit", "abc"), ("release", "cba"), ("settle", "cba")]


async def test_every_event_of_a_stream_passes_in_reverse_and_usage_alone_does_not() -> None:
    path = Path(FakeUpstream(("one", "two")), STREAM)
    client = await path.serve()
    assert path.steps("release") == "cba" * 3  # two texts and the chunk that says stop
    assert path.steps("settle") == "cba"
    assert client.frames[-1] == "[DONE]"
    assert path.outcome.usage is not None


@pytest.mark.parametrize(("place", "admitted", "settled"), [("a", "a", ""), ("b", "ab", "a"), ("c", "abc", "ba")])
async def test_a_denial_settles_what_was_passed_before_it(place: str, admitted: str, settled: str) -> None:
    path = Path(**{place: deny(retry_after_s=2.0)})
    client = await path.serve()
    assert (client.status, client.error["code"]) == (403, "endpoint_not_allowed")
    assert client.headers["retry-after"] == "2"
    assert path.upstream.requests == []
    assert (path.steps("admit"), path.steps("release"), path.steps("settle")) == (admitted, "", settled)
    if settled:
        assert (path.outcome.decision, path.outcome.control, path.outcome.status) == ("deny", place, 403)


# --- failures of the upstream -------------------------------------------------------------


@pytest.mark.parametrize("body", [CHAT, STREAM])
async def test_a_failure_before_the_first_byte_is_an_answer_of_its_own(body: object) -> None:
    path = Path(FakeUpstream([BROKEN]), body)
    client = await path.serve()
    assert (client.status, client.error["code"]) == (502, "upstream_error")
    assert path.steps("settle") == "cba"
    assert (path.outcome.decision, path.outcome.status, path.outcome.code) == ("error", 502, "upstream_error")


async def test_a_failure_after_the_first_byte_is_the_streams_last_frame() -> None:
    path = Path(FakeUpstream(("one", BROKEN)), STREAM)
    client = await path.serve()
    assert client.status == 200
    assert client.complete
    assert client.frames[-1]["error"]["code"] == "upstream_error"
    assert "[DONE]" not in client.frames
    assert path.steps("settle") == "cba"
    assert (path.outcome.decision, path.outcome.status, path.outcome.code) == ("error", 200, "upstream_error")


async def test_a_stream_of_nothing_is_a_stream() -> None:
    client = await Path(FakeUpstream(()), STREAM).serve()
    assert (client.status, client.frames) == (200, ["[DONE]"])


# --- controls that fail -------------------------------------------------------------------


@pytest.mark.parametrize("body", [CHAT, STREAM])
@pytest.mark.parametrize(("step", "settled"), [("admit", "a"), ("release", "cba")])
async def test_a_control_that_fails_denies(
    step: str, settled: str, body: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(body=body, b=fail(step, on_error="deny"))
    client = await path.serve()
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert path.steps("settle") == settled
    assert path.outcome.code == "internal_error"
    assert "control b failed" in caplog.text
    assert SECRET not in caplog.text + client.body.decode()


@pytest.mark.parametrize("body", [CHAT, STREAM])
@pytest.mark.parametrize("step", ["admit", "release"])
async def test_a_control_that_says_so_is_passed_over(step: str, body: object, caplog: pytest.LogCaptureFixture) -> None:
    path = Path(body=body, b=fail(step, on_error="allow"))
    client = await path.serve()
    assert client.status == 200
    assert client.complete
    assert path.steps("settle") == "cba"
    assert path.outcome.decision == "allow"
    assert "control b failed" in caplog.text
    assert SECRET not in caplog.text


async def test_a_release_that_fails_in_the_middle_ends_the_stream() -> None:
    calls = iter([None, ValueError(SECRET)])

    def second() -> None:
        if error := next(calls):
            raise error

    path = Path(FakeUpstream(("one", "two", "three")), STREAM, b={"release": second})
    client = await path.serve()
    assert [bool(frame.get("choices")) for frame in client.frames] == [True, False]
    assert client.frames[-1]["error"]["code"] == "internal_error"
    assert path.upstream.open == 0
    assert path.upstream.left == 1
    assert path.steps("settle") == "cba"


@pytest.mark.parametrize("on_error", ["deny", "allow"])
async def test_a_settlement_that_fails_hinders_no_other(on_error: str, caplog: pytest.LogCaptureFixture) -> None:
    path = Path(b=fail("settle", on_error=on_error), c=fail("settle", on_error=on_error))
    client = await path.serve()
    assert client.status == 200
    assert path.steps("settle") == "cba"
    assert "control c could not settle" in caplog.text
    assert SECRET not in caplog.text


async def test_a_refusal_that_a_control_raises_is_its_denial() -> None:
    path = Path(b=fail("admit", Refused(Denial("request_timeout", final=True))))
    client = await path.serve()
    assert client.status == 408
    assert (path.outcome.decision, path.outcome.control, path.steps("settle")) == ("deny", "b", "a")


async def test_what_fails_outside_of_a_control_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    path = Path(FakeUpstream([ValueError(SECRET)]))
    client = await path.serve()
    assert (client.status, client.error["code"]) == (500, "internal_error")
    assert path.steps("settle") == "cba"
    assert "ValueError at upstream.py" in caplog.text
    assert SECRET not in caplog.text + client.body.decode()


async def test_a_failure_that_cannot_even_be_told_is_settled(caplog: pytest.LogCaptureFixture) -> None:
    path = Path(FakeUpstream([BROKEN]))

    def closed(message: object) -> None:
        raise RuntimeError(SECRET)

    path.client.on_send = closed
    await path.serve()
    assert path.steps("settle") == "cba"
    assert "RuntimeError at" in caplog.text
    assert SECRET not in caplog.text


# --- clients that leave, and the end of the process ---------------------------------------


@pytest.mark.parametrize("script", [(), ("one",)], ids=["before the first byte", "after it"])
async def test_a_client_that_leaves_ends_the_work_upstream(
    script: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WATCH_AFTER_S", 0)
    path = Path(FakeUpstream((*script, asyncio.Event())), STREAM)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(path.serve())
        await path.upstream.waiting.wait()
        path.client.leave()
    assert (path.upstream.open, path.upstream.left) == (0, 1)
    assert path.steps("settle") == "cba"
    assert (path.outcome.status, path.outcome.code) == (499, "client_closed_request")
    assert len(path.client.sent) == 2 * len(script)  # nothing is said to nobody


async def test_a_client_that_leaves_with_its_body_unsent_is_settled_under_its_name() -> None:
    guard = Guarded()
    client = FakeClient(unfinished=True, headers={"content-length": "10"})
    client.leave()
    await guard.serve(client)
    assert client.sent == []
    line = guard.audit.line
    assert (line["key"], line["user"], line["tenant"]) == ("alice", "alice", "acme")
    assert (line["status"], line["code"], line["decision"]) == (499, "client_closed_request", "error")


async def test_a_control_may_say_that_the_client_has_gone() -> None:
    path = Path(b=fail("admit", ClientGone()))
    client = await path.serve()
    assert client.sent == []
    assert (path.steps("settle"), path.outcome.status) == ("a", 499)


@pytest.mark.parametrize(("body", "script"), [(CHAT, ()), (STREAM, ()), (STREAM, ("one",))])
async def test_the_end_of_the_process_is_told_and_settled(body: object, script: tuple[str, ...]) -> None:
    path = Path(FakeUpstream((*script, asyncio.Event())), body)
    serving = asyncio.ensure_future(path.serve())
    await path.upstream.waiting.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    client = path.client
    assert client.complete
    error = client.frames[-1]["error"] if script else client.error
    assert error["code"] == "overloaded"
    assert client.status == (200 if script else 503)
    assert path.steps("settle") == "cba"
    assert path.upstream.open == 0


async def test_a_settlement_that_is_cut_short_hinders_no_other() -> None:
    path = Path(c=fail("settle", asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await path.serve()
    assert path.steps("settle") == "cba"


async def test_a_plain_answer_cut_short_is_not_answered_twice() -> None:
    path = Path()
    stuck = asyncio.Event()
    path.client.on_send = lambda message: stuck.wait() if message["type"] == "http.response.body" else None
    serving = asyncio.ensure_future(path.serve())
    while not path.client.sent:
        await asyncio.sleep(0)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert len(path.client.sent) == 1
    assert path.steps("settle") == "cba"


# --- observe ------------------------------------------------------------------------------


async def test_observe_notes_denials_and_lets_them_pass() -> None:
    path = Path(observe=True, a=deny(), c=deny("rate_limit_exceeded"))
    client = await path.serve()
    assert client.status == 200
    assert path.steps("settle") == "cba"
    assert path.outcome.decision == "observe"
    assert path.recorders[0].settled[0].observed == (("a", "endpoint_not_allowed"), ("c", "rate_limit_exceeded"))


async def test_observe_cannot_let_pass_what_is_final() -> None:
    path = Path(observe=True, a=deny(), b=deny("model_not_found", final=True))
    client = await path.serve()
    assert client.status == 404
    assert (path.outcome.decision, path.outcome.control, path.steps("settle")) == ("deny", "b", "a")


async def test_observe_lets_no_broken_control_pass() -> None:
    assert (await Path(observe=True, b=fail("admit")).serve()).status == 500


async def test_observe_serves_nobody_and_records_what_it_would_have_refused() -> None:
    guard = Guarded(mode="observe")
    client = await guard.chat(key=None)
    assert client.status == 200
    line = guard.audit.line
    assert (line["decision"], line["observed"]) == ("observe", ["invalid_api_key"])
    assert not {"key", "user", "tenant", "policy"} & line.keys()
    assert 'code="invalid_api_key",control="authentication",mode="observe"} 1.0' in guard.exposition
    assert 'mode="enforce"' not in guard.exposition
    missing = await guard.chat({**CHAT, "model": "none"}, key=None)
    assert missing.status == 404
    assert guard.audit.line["observed"] == ["invalid_api_key"]
    assert (guard.audit.line["decision"], guard.audit.line["control"]) == ("deny", "models")


async def test_enforce_records_the_denial_in_the_metrics() -> None:
    guard = Guarded()
    assert (await guard.chat(key=None)).status == 401
    assert 'code="invalid_api_key",control="authentication",mode="enforce"} 1.0' in guard.exposition


# --- over sockets -------------------------------------------------------------------------


async def test_a_list_of_models_needs_no_renderer() -> None:
    path = Path()
    client = FakeClient("/v1/models")
    await path.guard(MODELS, client.connection())
    assert client.status == 200


async def test_a_chat_goes_through() -> None:
    async with FakeOpenAI() as fake, running(tree(fake.url)) as guard, http(guard) as client:
        async with client.post("/v1/chat/completions", json=CHAT) as response:
            body = await response.json()
    assert response.status == 200
    assert body["model"] == "chat"
    assert body["choices"][0]["message"]["role"] == "assistant"
