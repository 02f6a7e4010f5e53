"""The whole application in front of one upstream that a test brings along."""

from collections.abc import Sequence
from typing import Any

from llmguard.app import App
from llmguard.metrics import Metrics
from llmguard.settings import Settings
from llmguard.upstreams.upstream import Upstream
from tests.fakes.clock import FakeClock
from tests.fakes.connection import FakeClient
from tests.fakes.store import FakeStore
from tests.guarded import UPSTREAM_URL, FakeAudit, LessApp
from tests.serving import tree


def application(upstream: Upstream, *, without: Sequence[str] = (), kind: str = "generic", **decoding: Any) -> App:
    """The application under these rules of decoding; `kind` is that of its upstream, or the engine of an OpenAI one."""
    settings: dict[str, Any] = {"kind": kind}
    if kind not in ("litellm", "embedded"):
        settings = {"kind": "openai", "engine": kind, "base_url": UPSTREAM_URL}
    model = "smollm2-135m-instruct" if kind == "embedded" else "upstream-model"
    changes = {
        "upstreams": {"fake": settings},
        "models": {name: {"task": "chat", "upstream": "fake", "model": model} for name in ("chat", "other")},
        "policies": {"public": {"decoding": decoding}, "narrow": {}},
    }
    clock = FakeClock()
    app: App = type("App", (LessApp,), {"without": tuple(without)})(
        Settings.model_validate(tree(UPSTREAM_URL, **changes)),
        clock=clock,
        store=FakeStore(clock),
        upstreams=lambda _: upstream,
        audit=FakeAudit(),
        metrics=Metrics(),
    )
    return app


async def asked(app: App, body: dict[str, Any], path: str = "/v1/chat/completions") -> FakeClient:
    """The client with its answer."""
    client = FakeClient(path, body)
    await app(client.scope, client.receive, client.send)
    return client
