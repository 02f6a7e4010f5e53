"""What /metrics shows, and that no client can make it grow."""

import os
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from llmguard.metrics import Metrics
from tests.guarded import CHAT, COMPLETION, Guarded

NOBODYS_PID = 2**22 + 1
"""Above the most that Linux gives."""


def series(exposition: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every series: its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def test_the_exposition_is_prometheus_own_and_named_for_the_guard() -> None:
    metrics = Metrics()
    metrics.served("chat", "chat", 200, 0.3, 0.1)
    metrics.served("models", "", 200, 0.3, None)
    metrics.decided("limits", "rate_limit_exceeded", "observe")
    metrics.spent("chat", 3, 2)
    metrics.upstream_failed("fake", "upstream_error")
    shown = series(metrics.exposition().decode())
    assert all(name.startswith("llmguard_") for name, _ in shown)
    assert ("llmguard_tokens_total", (("direction", "input"), ("model", "chat"))) in shown
    assert ("llmguard_first_byte_seconds_count", (("endpoint", "models"),)) not in shown


def test_two_guards_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.spent("chat", 3, 2)
    assert b"chat" not in second.exposition()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["enforce", "observe"])
async def test_names_that_a_client_invents_make_no_series(mode: str) -> None:
    """Without the rule that only configured names are labels, each of these would be a series of its own."""
    guard = Guarded(mode=mode)

    async def asked(name: str) -> None:
        await guard.chat({**CHAT, "model": name})
        await guard.ask("/v1/completions", {**COMPLETION, "model": name}, key=name)
        await guard.ask(f"/v1/models/{name}", key=name, headers={"x-forwarded-for": name})

    await asked("invented")
    before = series(guard.exposition)
    for number in range(1000):
        await asked(f"invented-{number}")
    assert series(guard.exposition) == before
    assert "invented" not in guard.exposition


def test_workers_show_their_sum_and_the_dead_are_not_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as another:
        another.setattr(os, "getpid", lambda: NOBODYS_PID)
        dead = Metrics(tmp_path)
    mine = Metrics(tmp_path)
    for metrics, tokens in ((dead, 3), (mine, 4)):
        metrics.begin()
        metrics.spent("chat", tokens, 0)
        metrics.served("chat", "chat", 200, 0.3, 0.1)
        metrics.share()
    shown = mine.exposition().decode()
    assert 'llmguard_tokens_total{direction="input",model="chat"} 7.0' in shown
    assert 'llmguard_first_byte_seconds_bucket{endpoint="chat",le="0.1"} 2.0' in shown
    assert "llmguard_in_flight_requests 1.0" in shown


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, "0.005"), (0.005, "0.005"), (0.0051, "0.01"), (120.1, "+Inf")])
def test_a_time_lies_in_the_first_bucket_that_holds_it(seconds: float, bucket: str) -> None:
    metrics = Metrics()
    metrics.served("chat", "chat", 200, seconds, None)
    counts = re.findall(r'duration_seconds_bucket\{endpoint="chat",le="([^"]+)"\} (\d)', metrics.exposition().decode())
    assert next(bound for bound, count in counts if count == "1") == bucket
    assert counts[-1] == ("+Inf", "1")
