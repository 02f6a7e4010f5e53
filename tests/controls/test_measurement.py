"""Every request is counted, and a figure that cannot be kept stops nobody."""

import pytest

from llmguard.errors import Denial, UpstreamFailure
from llmguard.metrics import Metrics
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, STREAM, Guarded

pytestmark = pytest.mark.anyio


async def test_without_the_control_a_probe_goes_unseen_and_with_it_does_not() -> None:
    for without, seen in ((["measurement"], False), ([], True)):
        guard = Guarded(without=without)
        await guard.chat(key="guessed")
        assert ('decisions_total{code="invalid_api_key"' in guard.exposition) == seen


async def test_what_is_counted() -> None:
    guard = Guarded()
    for body in (CHAT, STREAM):
        await guard.chat(body)
    shown = guard.exposition
    assert 'llmguard_requests_total{endpoint="chat",model="chat",status="200"} 2.0' in shown
    assert 'llmguard_tokens_total{direction="input",model="chat"} 6.0' in shown
    assert 'llmguard_tokens_total{direction="output",model="chat"} 4.0' in shown
    assert 'llmguard_request_duration_seconds_count{endpoint="chat"} 2.0' in shown
    assert 'llmguard_first_byte_seconds_count{endpoint="chat"} 2.0' in shown
    assert "llmguard_in_flight_requests 0.0" in shown


async def test_failed_attempts_are_counted_by_upstream() -> None:
    guard = Guarded(FakeUpstream([UpstreamFailure(Denial("upstream_timeout"), retryable=False)]))
    await guard.chat()
    assert 'llmguard_upstream_errors_total{code="upstream_timeout",upstream="fake"} 1.0' in guard.exposition
    assert 'llmguard_requests_total{endpoint="chat",model="chat",status="504"} 1.0' in guard.exposition


async def test_what_the_audit_log_refuses_is_counted() -> None:
    guard = Guarded()
    guard.audit.full = True
    await guard.chat()
    assert 'decisions_total{code="overloaded",control="audit",mode="enforce"} 1.0' in guard.exposition


async def test_a_request_is_served_even_if_it_cannot_be_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Metrics, "served", full)
    guard = Guarded()
    assert (await guard.chat()).status == 200
    assert len(guard.audit.lines) == 1
    assert "measurement could not settle" in caplog.text
