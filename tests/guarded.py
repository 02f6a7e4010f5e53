"""The whole application over fakes, without a socket; and the same with a control left out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from llmguard.app import App
from llmguard.control import Control
from llmguard.metrics import Metrics
from llmguard.settings import AnyUpstream, Settings
from llmguard.upstreams.upstream import Upstream
from tests.fakes.clock import FakeClock
from tests.fakes.connection import FakeClient
from tests.fakes.store import FakeStore
from tests.fakes.upstream import FakeUpstream
from tests.serving import tree

UPSTREAM_URL = "http://upstream.invalid/v1"
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True}
COMPLETION: dict[str, Any] = {"model": "chat", "prompt": "hello"}


class FakeAudit:
    """An audit log in a list; `full` on request."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.full = self.closed = False

    def write(self, line: bytes) -> None:
        """Keep it."""
        self.texts.append(line)

    def close(self) -> None:
        """Note it."""
        self.closed = True

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every line."""
        return [msgspec.json.decode(text) for text in self.texts]

    @property
    def line(self) -> dict[str, Any]:
        """The last line."""
        return self.lines[-1]


class LessApp(App):
    """The application without the controls of these names."""

    without: Sequence[str] = ()

    def _controls(self, *parts: Any) -> list[Control]:
        controls = super()._controls(*parts)
        assert {*self.without} <= {control.name for control in controls}
        return [control for control in controls if control.name not in self.without]


class Guarded:
    """An App with everything that it hangs on, in a test's hands.

    `upstreams` holds each upstream that it built, by the URL of its settings; they all play the scripts of
    `upstream` unless they stand there beforehand.
    """

    def __init__(
        self,
        upstream: FakeUpstream | None = None,
        *,
        without: Sequence[str] = (),
        upstreams: Mapping[str, FakeUpstream] | None = None,
        **changes: Any,
    ) -> None:
        self.upstream = upstream or FakeUpstream()
        self.upstreams = dict(upstreams or {})
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.audit = FakeAudit()
        self.metrics = Metrics()
        kind = type("LessApp", (LessApp,), {"without": tuple(without)})
        self.app = kind(
            settings(**changes),
            clock=self.clock,
            store=self.store,
            upstreams=self.build,
            audit=self.audit,
            metrics=self.metrics,
        )

    def build(self, settings: AnyUpstream) -> Upstream:
        """The upstream for these settings."""
        return self.upstreams.setdefault(settings.base_url, self.upstream)

    async def ask(self, path: str = "/v1/chat/completions", json: object = None, **options: Any) -> FakeClient:
        """The client that asked, with its answer."""
        return await self.serve(FakeClient(path, json, **options))

    async def chat(self, body: object = None, **options: Any) -> FakeClient:
        """Ask for a chat."""
        return await self.ask(json=CHAT if body is None else body, **options)

    async def serve(self, client: FakeClient) -> FakeClient:
        """Serve this client's request."""
        await self.app(client.scope, client.receive, client.send)
        return client

    @property
    def exposition(self) -> str:
        """What /metrics shows."""
        return self.metrics.exposition().decode()


def settings(**changes: Any) -> Settings:
    """The settings of the tests, with these parts replaced."""
    return Settings.model_validate(tree(UPSTREAM_URL, **changes))


@asynccontextmanager
async def living(guard: Guarded) -> AsyncIterator[Guarded]:
    """Closed on leaving."""
    try:
        yield guard
    finally:
        await guard.app.close()
