"""Whole raw answers, head and body, under every fault of the upstream: nothing in them is the upstream's."""

import asyncio
import json
from typing import Any

import pytest

from tests.fakes import SECRETS, Answer, FakeOpenAI, Fault
from tests.fakes.faults import NAMES
from tests.sdk.setting import FLAT_TOOLS, MESSAGES, TOOLS, settings
from tests.serving import KEY, Running, running

pytestmark = pytest.mark.anyio

WORDS = (
    *SECRETS,
    "UpstreamVendor",
    "upstream-secret",
    "upstream-model",
    "upstream-key",
    "chatcmpl-upstream",
    "chatcmpl-tool",
    "up-1",
    "secret_param",
    "cookie",
    "127.0.0.1",
    "stop_reason",
    "reasoning_content",
    '"logprob"',
    "token_logprobs",
)
"""What the fake calls secret, and besides: its ids, models, headers and address, the guard's key to it, and more than
was asked for."""
HEADERS = {
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "openai-processing-ms",
    "retry-after",
    "retry-after-ms",
    "transfer-encoding",
    "x-request-id",
    "x-should-retry",
}
STATUSES = (400, 401, 403, 404, 413, 418, 422, 429, 500, 503, 504, 529)
FAULTS = (
    *(getattr(Fault, name) for name in NAMES),
    *(Fault.STATUS(status) for status in STATUSES),
    *(Fault.STATUS(status, html=True) for status in (400, 429, 502)),
)
QUESTIONS: dict[str, Any] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": "Say hello"},
    "/v1/responses": {"input": "Say hello"},
}
ASKED: list[tuple[str, Any]] = [
    *((path, {}) for path in QUESTIONS),
    ("/v1/chat/completions", {"tools": TOOLS}),
    ("/v1/responses", {"tools": FLAT_TOOLS}),
]
LEAKING = Answer(reasoning=("secret", " thought"), leak_logprobs=True, finish_reason="upstream-secret-reason")


async def ask(guard: Running, method: str, path: str, body: object = None) -> tuple[str, str]:
    """The head and the body of an answer, as text."""
    reader, writer = await asyncio.open_connection(*guard.url.removeprefix("http://").split(":"))
    payload = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nhost: guard\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    writer.write(head.encode() + payload)
    answer = await reader.read(-1)
    writer.close()
    head, _, rest = answer.decode().partition("\r\n\r\n")
    return head, rest


def check(head: str, body: str) -> str:
    """No word of the upstream, no header that is not ours; gives the status line."""
    said = f"{head}\n{body}".lower()
    assert [word for word in WORDS if word.lower() in said] == []
    first, *lines = head.split("\r\n")
    assert {line.partition(":")[0].lower() for line in lines} <= HEADERS
    assert "x-request-id: req_" in head
    return first


@pytest.mark.parametrize("answer", [Answer(), LEAKING], ids=["plain", "leaking"])
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("path", "more"), ASKED)
async def test_answers_without_a_fault(
    guard: Running, fake: FakeOpenAI, path: str, more: dict[str, Any], streams: bool, answer: Answer
) -> None:
    fake.answer = answer
    head, body = await ask(guard, "POST", path, {"model": "chat", "stream": streams, **QUESTIONS[path], **more})
    assert check(head, body) == "HTTP/1.1 200 OK"
    assert '"model":"chat"' in body


async def test_what_never_reaches_the_upstream(guard: Running, fake: FakeOpenAI) -> None:
    for method, path, body in (
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/chat", None),
        ("GET", "/v1/models/upstream", None),
        ("POST", "/v1/embeddings", {"model": "chat", "input": "x"}),
        ("POST", "/v1/chat/completions", {"model": "upstream", "messages": MESSAGES}),
        ("POST", "/v1/files", {}),
        ("GET", "/v1/nothing", None),
    ):
        check(*await ask(guard, method, path, body))
    assert not fake.requests


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault}{'-html' if fault.html else ''}")
async def test_answers_under_a_fault(fake: FakeOpenAI, fault: Fault) -> None:
    async with running(settings(fake.url, timeout_s=0.25)) as guard:
        for path, question in QUESTIONS.items():
            for streams in (False, True):
                await fake.listen()
                fake.script(fault)
                head, body = await ask(guard, "POST", path, {"model": "chat", "stream": streams, **question})
                assert check(head, body).split()[1] in {"200", "400", "502", "503", "504"}
    guard.audit.ended()
