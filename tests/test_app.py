"""What outlives a reload, and what ends with it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from llmguard.store.store import StoreUnavailable
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, UPSTREAM_URL, Guarded, living, settings
from tests.serving import ADMIN_TOKEN, KEY, OTHER_KEY

pytestmark = pytest.mark.anyio

OTHER_URL = "http://other.invalid/v1"


def upstreams(*urls: str, **changes: Any) -> dict[str, Any]:
    """The upstreams `fake`, `b` and so on, at these URLs."""
    names = ("fake", "b", "c")
    return {
        name: {"kind": "openai", "base_url": url, "max_retries": 0, **changes}
        for name, url in zip(names, urls, strict=False)
    }


async def turn() -> None:
    """Let everything that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def soon(work: Awaitable[Any]) -> None:
    """Wait for it, but not for ever."""
    async with asyncio.timeout(5):
        await work


class Busy:
    """A guard with a request under way at `old`, and an upstream `new` to be put in its place."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.old, self.new = FakeUpstream((self.go, "old")), FakeUpstream(("new",))
        self.guard = Guarded(upstreams={UPSTREAM_URL: self.old, OTHER_URL: self.new})

    async def __aenter__(self) -> "Busy":
        self.client = FakeClient(json=CHAT)
        self.serving = asyncio.ensure_future(self.guard.serve(self.client))
        await soon(self.old.waiting.wait())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go.set()
        await asyncio.gather(self.serving, return_exceptions=True)
        await self.guard.app.close()


# --- reload -------------------------------------------------------------------------------


async def test_an_unchanged_upstream_is_kept() -> None:
    async with living(Guarded()) as guard:
        guard.app.reload(settings(policies={"public": {"endpoints": ["models"]}, "narrow": {}}))
        await turn()
        assert (guard.upstream.starts, guard.upstream.closes) == (0, 0)
        assert (await guard.chat()).status == 403


async def test_a_removed_upstream_is_closed_after_its_last_request() -> None:
    async with Busy() as busy:
        guard = busy.guard
        guard.app.reload(settings(upstreams=upstreams(OTHER_URL)))
        await turn()
        assert (busy.new.starts, busy.old.closes) == (1, 0)
        assert guard.app.running == 1
        assert (await guard.chat()).json["choices"][0]["message"]["content"] == "new"
        assert guard.app.running == 1
        busy.go.set()
        await soon(busy.serving)
        await turn()
        assert busy.client.json["choices"][0]["message"]["content"] == "old"
        assert (busy.old.closes, busy.new.closes, guard.app.running) == (1, 0, 0)


async def test_reloads_upon_reloads_wait_for_the_first_ones_requests_too() -> None:
    async with Busy() as busy:
        busy.guard.app.reload(settings(policies={"public": {}, "narrow": {}}))  # keeps the upstream
        busy.guard.app.reload(settings(upstreams=upstreams(OTHER_URL)))  # removes it
        await turn()
        assert busy.old.closes == 0
        busy.go.set()
        await soon(busy.serving)
        await turn()
        assert busy.old.closes == 1


async def test_an_idle_upstream_is_closed_at_once_and_a_changed_one_is_another() -> None:
    async with living(Guarded(FakeUpstream(("old",)))) as guard:
        old = guard.upstream
        changed = FakeUpstream(("changed",))
        guard.upstreams[UPSTREAM_URL] = changed
        guard.app.reload(settings(upstreams=upstreams(UPSTREAM_URL, timeout_s=7)))
        await turn()
        assert (old.closes, changed.starts, changed.closes) == (1, 1, 0)
        assert (await guard.chat()).json["choices"][0]["message"]["content"] == "changed"


async def test_keys_policies_and_mode_change_with_a_reload_and_the_rest_stays() -> None:
    async with living(Guarded()) as guard:
        assert (await guard.chat()).status == 200
        changed = {
            "secret": "another secret of the tests, 32 bytes",
            "store": {"url": "file:./elsewhere"},
            "server": {"port": 1234, "host": "0.0.0.0", "max_body_bytes": 1024},
            "keys": [{"id": "bob", "secret": OTHER_KEY, "user": "bob", "tenant": "acme", "policy": "public"}],
        }
        before = guard.app.settings
        pepper = guard.app.key_pepper
        guard.app.reload(settings(**changed))
        after = guard.app.settings
        assert ((await guard.chat()).status, (await guard.chat(key=OTHER_KEY)).status) == (401, 200)
        assert (after.secret, after.store, guard.app.key_pepper) == (before.secret, before.store, pepper)
        assert (after.server.port, after.server.host) == (before.server.port, before.server.host)
        assert after.server.max_body_bytes == 1024
        assert (await guard.chat({**CHAT, "user": "x" * 500, "stop": "x" * 500}, key=OTHER_KEY)).status == 413
        guard.app.reload(settings(**changed, mode="observe"))
        assert (await guard.chat(key=None)).status == 200


async def test_one_audit_log_and_one_set_of_figures_outlive_reloads() -> None:
    async with living(Guarded()) as guard:
        await guard.chat()
        guard.app.reload(settings())
        await guard.chat()
        assert len(guard.audit.lines) == 2
        assert 'requests_total{endpoint="chat",model="chat",status="200"} 2.0' in guard.exposition


# --- drain, ready, close ------------------------------------------------------------------


async def test_a_drain_refuses_the_new_and_lets_the_old_end() -> None:
    async with Busy() as busy:
        guard = busy.guard
        assert await guard.app.ready()
        guard.app.drain()
        assert not await guard.app.ready()
        refused = await guard.chat()
        assert (refused.status, refused.error["code"]) == (503, "overloaded")
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        assert refused.headers["x-request-id"].startswith("req_")
        assert (await guard.ask("/health/live")).status == 200
        assert (await guard.ask("/health/ready")).status == 503
        assert guard.app.running == 1
        busy.go.set()
        await soon(busy.serving)
        assert busy.client.status == 200
        assert guard.app.running == 0


async def test_ready_is_upstreams_and_store_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async with living(Guarded()) as guard:
        assert await guard.app.ready()
        guard.upstream.ready = False
        assert not await guard.app.ready()
        guard.upstream.ready = True

        async def unavailable() -> None:
            raise StoreUnavailable("on request")

        monkeypatch.setattr(guard.store, "ping", unavailable)
        assert not await guard.app.ready()


async def test_close_lets_go_of_everything_once() -> None:
    async with Busy() as busy:
        busy.guard.app.reload(settings(upstreams=upstreams(OTHER_URL)))
        await turn()
        busy.serving.cancel()
        await soon(busy.guard.app.close())
        assert (busy.old.closes, busy.new.closes) == (1, 1)
        assert busy.guard.audit.closed
        assert busy.guard.audit.line["code"] == "overloaded"


async def test_an_upstream_that_cannot_be_closed_keeps_nothing_else_open() -> None:
    class Stubborn(FakeUpstream):
        async def close(self) -> None:
            raise OSError("it will not")

    guard = Guarded(upstreams={UPSTREAM_URL: Stubborn(), OTHER_URL: FakeUpstream()})
    with pytest.raises(OSError, match="it will not"):
        await guard.app.close()
    assert guard.audit.closed


async def test_the_server_starts_and_stops_it() -> None:
    guard = Guarded()
    messages: list[dict[str, str]] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said: list[str] = []

    async def receive() -> dict[str, str]:
        await turn()
        return messages.pop(0)

    async def send(message: dict[str, str]) -> None:
        said.append(message["type"])

    await soon(guard.app({"type": "lifespan"}, receive, send))
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (guard.upstream.starts, guard.upstream.closes, guard.audit.closed) == (1, 1, True)


async def test_an_upstream_that_cannot_start_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeUpstream):
        async def start(self) -> None:
            raise OSError("no weights")

    async with living(Guarded(upstreams={OTHER_URL: Broken()})) as guard:
        guard.app.reload(settings(upstreams=upstreams(OTHER_URL)))
        await turn()
        assert "no weights" in caplog.text
        assert (await guard.chat()).status == 200


async def test_websockets_are_not_served() -> None:
    with pytest.raises(RuntimeError, match="websocket"):
        await Guarded().app({"type": "websocket"}, FakeClient().receive, FakeClient().send)


async def test_a_key_that_is_revoked_over_the_admin_api_is_void_at_once() -> None:
    async with living(Guarded()) as guard:
        operator = {"key": ADMIN_TOKEN}
        alice = {"user": "alice", "tenant": "acme", "policy": "public"}
        issued = (await guard.ask("/admin/v1/keys", alice, **operator)).json
        assert (await guard.chat(key=issued["key"])).status == 200
        assert (await guard.ask(f"/admin/v1/keys/{issued['id']}", method="DELETE", **operator)).status == 200
        assert (await guard.chat(key=issued["key"])).status == 401
        assert (await guard.chat(key=KEY)).status == 200
