"""A real classifier behind the whole application, over vLLM's wire; and the same without the guard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from llmguard.app import App
from llmguard.metrics import Metrics
from llmguard.settings import OpenAIUpstream, Settings
from llmguard.upstreams.build import build_upstream
from llmguard.upstreams.openai import OpenAI
from llmguard.wire.pooling import Classifications, ClassifyRequest
from tests.attacks.surrogate import Ask, Floats, Texts, Victim
from tests.fakes import Answer, FakeOpenAI
from tests.fakes.clock import FakeClock
from tests.fakes.connection import FakeClient
from tests.fakes.store import FakeStore
from tests.guarded import FakeAudit
from tests.serving import tree

BATCH = 256
"""Texts in one request; each is a question."""

PAUSE_S = 60.0
"""Between two requests: attackers have time."""


class Refusal(Exception):
    """The guard answered with this status."""


@asynccontextmanager
async def serving(victim: Victim) -> AsyncIterator[FakeOpenAI]:
    """The classifier as vLLM serves one."""
    classes = victim.say(victim.held[:1]).shape[1]
    labels = tuple(str(number) for number in range(classes))
    async with FakeOpenAI(Answer(labels=labels, classify=lambda texts: victim.say(texts).tolist())) as fake:
        yield fake


@asynccontextmanager
async def bare(fake: FakeOpenAI) -> AsyncIterator[Ask]:
    """A way to ask the classifier itself."""
    upstream = OpenAI(OpenAIUpstream(kind="openai", base_url=fake.url, engine="vllm"))

    async def ask(texts: Texts) -> Floats:
        found: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            answer = await upstream.pool(ClassifyRequest(model="m", input=list(texts[start : start + BATCH])))
            assert isinstance(answer, Classifications)
            found += [item.probs for item in answer.data]
        return np.array(found)

    yield ask
    await upstream.close()


@asynccontextmanager
async def guarded(fake: FakeOpenAI, policy: dict[str, Any]) -> AsyncIterator[Ask]:
    """A way to ask it through the guard; raises Refusal."""
    clock = FakeClock()
    changes: dict[str, Any] = {
        "upstreams": {"fake": {"kind": "openai", "base_url": fake.url, "engine": "vllm"}},
        "models": {"digits": {"task": "classify", "upstream": "fake", "model": "m"}},
        "policies": {"public": policy, "narrow": {}},
    }
    app = App(
        Settings.model_validate(tree(fake.url, **changes)),
        clock=clock,
        store=FakeStore(clock),
        upstreams=lambda settings: build_upstream(settings, cache=Path("unused")),
        audit=FakeAudit(),
        metrics=Metrics(),
    )

    async def ask(texts: Texts) -> Floats:
        found: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            clock.advance(PAUSE_S)
            client = FakeClient("/v1/classify", {"model": "digits", "input": list(texts[start : start + BATCH])})
            await app(client.scope, client.receive, client.send)
            if client.status != 200:
                raise Refusal(client.status)
            found += [item["probs"] for item in client.json["data"]]
        return np.array(found)

    try:
        yield ask
    finally:
        await app.close()
