"""What operators see of a flagged principal and can do about it, over HTTP."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.controls.test_scores import Classifier
from tests.fakes.connection import FakeClient
from tests.guarded import CHAT, Guarded
from tests.prompts.corpora import Corpus, made_up
from tests.prompts.sessions import ATTACKS, HONEST
from tests.prompts.vocabulary import TEMPLATE_WORDS, tokenizer_file
from tests.serving import ADMIN_TOKEN, tree

pytestmark = pytest.mark.anyio

KEYS = [
    {"id": f"k{place}", "secret": f"lg-test-key-{place:02}", "user": f"u{place}", "tenant": "acme", "policy": "public"}
    for place in range(12)
]
CONTRACT = {
    "scope", "id", "state", "prompts", "log10_e", "threshold_log10_e", "flagged_at", "flagged_after_prompts",
    "cluster", "signals",
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_vocabulary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The made-up texts are English under the vocabulary that they are made for."""
    file = tokenizer_file(tmp_path, TEMPLATE_WORDS)
    monkeypatch.setattr("llmguard.risk.build.vocabulary_file", lambda: file)


@cache
def corpus() -> Corpus:
    return made_up(40)


def attack(count: int, kind: str = "1 template") -> list[str]:
    return ATTACKS[kind](corpus(), random.Random(1), count)


def guarded(**changes: Any) -> Guarded:
    """A guard with twelve keys of one tenant."""
    policies = {"public": {"prompts": changes.pop("prompts", {})}, "narrow": {}}
    return Guarded(policies=policies, keys=KEYS, **changes)


async def send(guard: Guarded, text: str, key: int = 0) -> FakeClient:
    body = {**CHAT, "messages": [{"role": "user", "content": text}]}
    return await guard.chat(body, key=KEYS[key]["secret"], peer=f"192.0.2.{key}")


async def operator(guard: Guarded, path: str, body: object = None, **options: Any) -> FakeClient:
    """What the operator is answered."""
    return await guard.ask(f"/admin/v1/{path}", body, **{"key": ADMIN_TOKEN, **options})


async def test_a_flagged_key_and_its_user_and_tenant() -> None:
    guard = guarded()
    for text in attack(65):
        await send(guard, text)
        guard.clock.advance(1.0)
    for text in HONEST["mixed"](corpus(), random.Random(2), 30):
        await send(guard, text, key=1)
    shown = (await operator(guard, "risk/key/k0")).json
    assert set(shown) >= CONTRACT
    assert (shown["scope"], shown["id"], shown["prompts"]) == ("key", "k0", 65)
    assert shown["state"] in ("throttled", "challenged", "blocked")
    assert shown["log10_e"] > shown["threshold_log10_e"] == 3.0
    assert 1_800_000_000 < shown["flagged_at"] < 1_800_000_065
    assert 40 <= shown["flagged_after_prompts"] <= 65
    assert all(set(signal) == {"p", "e", "window"} for signal in shown["signals"].values())
    assert max(signal["e"] for signal in shown["signals"].values()) > 1000
    user = (await operator(guard, "risk/user/u0")).json
    assert {**user, "scope": "key", "id": "k0", "members": []} == shown
    tenant = (await operator(guard, "risk/tenant/acme")).json
    assert (tenant["state"], tenant["prompts"], set(tenant["members"])) == (shown["state"], 95, {"k0", "k1"})
    honest = (await operator(guard, "risk/key/k1")).json
    assert (honest["state"], honest["flagged_at"], honest["flagged_after_prompts"]) == ("normal", None, None)


async def test_who_was_never_seen_is_normal_and_who_is_unknown_is_not_found() -> None:
    guard = guarded()
    for path in ("risk/key/k3", "risk/user/nobody", "risk/tenant/none"):
        shown = (await operator(guard, path)).json
        assert (shown["state"], shown["prompts"], shown["signals"]) == ("normal", 0, {})
    assert (await operator(guard, "risk/key/none")).status == 404
    assert (await operator(guard, "risk/cluster/k0")).status == 404
    assert (await operator(guard, "risk/planet/earth")).status == 400


async def test_a_cluster_pools_what_its_keys_show() -> None:
    """Eight keys of eight addresses: none is flagged for itself."""
    guard = guarded()
    source = random.Random(3)
    honest = HONEST["mixed"](corpus(), source, 200)
    for place, text in enumerate(attack(200)):
        await send(guard, text, key=source.randrange(8))
        await send(guard, honest[place], key=8 + place % 4)
    shown = [(await operator(guard, f"risk/key/k{key}")).json for key in range(12)]
    (name,) = {one["cluster"] for one in shown[:8]} - {None}
    assert sum(one["state"] != "normal" for one in shown[:8]) >= 6
    assert [one["state"] for one in shown[8:]] == ["normal"] * 4
    cluster = (await operator(guard, f"risk/cluster/{name}")).json
    assert set(cluster) >= CONTRACT
    assert cluster["state"] != "normal"
    assert set(cluster["members"]) <= {f"k{key}" for key in range(8)}
    assert cluster["log10_e"] > 3
    assert cluster["flagged_at"] is not None
    alerts = (await operator(guard, "alerts")).json["data"]
    assert [alert["subject"] for alert in alerts if alert["scope"] == "cluster"] == [name]
    pardoned = (await operator(guard, f"risk/cluster/{name}/pardon", {})).json
    assert pardoned["state"] == "normal"
    assert (await send(guard, "a plain question", key=0)).status == 200


async def test_alerts_are_told_the_newest_first() -> None:
    guard = guarded()
    for text in attack(150):
        await send(guard, text)
        guard.clock.advance(1.0)
    found = (await operator(guard, "alerts")).json
    assert found["object"] == "list"
    assert [(alert["before"], alert["state"]) for alert in found["data"]] == [
        ("challenged", "blocked"),
        ("throttled", "challenged"),
        ("normal", "throttled"),
    ]
    assert all(alert["subject"] == "k0" and alert["signals"] for alert in found["data"])
    assert guard.app.desk is not None
    assert [alert.state for alert in await guard.app.desk.alerts(1)] == ["blocked"]
    assert 'llmguard_risk_changes_total{before="normal",scope="key",state="throttled"} 1.0' in guard.exposition


async def test_a_pardon_is_a_new_beginning() -> None:
    guard = guarded(prompts={"respond": ["block"]})
    for text in attack(90):
        await send(guard, text)
    assert (await send(guard, "hello")).status == 429
    shown = (await operator(guard, "risk/user/u0/pardon", {})).json
    assert (shown["state"], shown["flagged_at"], shown["strikes"], shown["log10_e"]) == ("normal", None, 0, 0.0)
    assert (await send(guard, "hello again")).status == 200


async def test_a_pin_holds_whatever_the_evidence_says() -> None:
    guard = guarded()
    shown = (await operator(guard, "risk/key/k5/pin", {"state": "blocked", "for_s": 60})).json
    assert (shown["state"], shown["pinned"]) == ("blocked", True)
    refused = await send(guard, "hello", key=5)
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    guard.clock.advance(61)
    assert (await send(guard, "hello", key=5)).status == 200
    await operator(guard, "risk/key/k0/pin", {"state": "normal"})
    for text in attack(120):
        assert (await send(guard, text)).status == 200
    shown = (await operator(guard, "risk/key/k0")).json
    assert (shown["state"], shown["flagged_at"] is not None) == ("normal", True)
    shown = (await operator(guard, "risk/key/k0/pin", method="DELETE")).json
    assert (shown["state"], shown["pinned"]) == ("blocked", False)
    assert (await send(guard, "hello")).status == 429


async def test_what_has_cooled_is_told_without_a_further_prompt() -> None:
    guard = guarded(prompts={"respond": ["throttle"]})
    for text in attack(90):
        await send(guard, text)
    desk = guard.app.desk
    assert desk is not None
    guard.clock.advance(4 * 3600)
    await desk.cool()  # type: ignore[attr-defined]  # what run() does each second
    newest = (await operator(guard, "alerts")).json["data"][0]
    assert (newest["before"], newest["state"]) == ("throttled", "normal")
    assert 'llmguard_flagged_keys{state="throttled"}' not in guard.exposition


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"state": "hanged"}, "state"),
        ({"state": "blocked", "for_s": 0}, "for_s"),
        ({"state": "blocked", "why": "x"}, "why"),
        ({}, "state"),
    ],
)
async def test_mistakes(body: object, param: str) -> None:
    client = await operator(guarded(), "risk/key/k0/pin", body)
    assert (client.status, client.error["param"]) == (400, param)


@pytest.mark.parametrize("path", ["risk/key/k0", "alerts"])
async def test_a_stranger_sees_nothing(path: str) -> None:
    guard = guarded()
    assert (await operator(guard, path, key="lg-test-key-00")).status == 401
    assert (await operator(guard, path, key=None)).status == 401


async def test_a_guard_that_watches_nothing_says_so() -> None:
    guard = Guarded()
    assert (await operator(guard, "risk/key/alice")).json["state"] == "normal"
    assert (await operator(guard, "alerts")).json["data"] == []
    assert (await operator(guard, "risk/key/alice/pin", {"state": "blocked"})).status == 400


async def test_retries_classes_and_what_prompts_look_like_are_shown() -> None:
    """A loop that comes back at once, sweeps a classifier's classes and then fills a template; beside honest keys."""
    model = {"task": "classify", "upstream": "fake", "model": "m"}
    upstream = Classifier([1.0, 0.0])
    prompts = {"alpha": 1e-9}
    limits = [{"per": "key", "of": "requests", "limit": 1, "every": "10s"}]
    policies = {"public": {"prompts": prompts, "limits": limits}, "narrow": {}}
    guard = Guarded(upstream, policies=policies, keys=KEYS, models={"chat": tree("")["models"]["chat"], "c": model})
    source = random.Random(4)
    for key in range(1, 12):
        said = HONEST["mixed"](corpus(), random.Random(key), 60)
        for text in said:
            upstream.probs = [0.9, 0.1] if source.random() < 0.8 else [0.2, 0.8]
            guard.clock.advance(30.0 + 30 * source.random())
            asked = await guard.ask("/v1/classify", {"model": "c", "input": text}, key=KEYS[key]["secret"])
            assert asked.status == 200
    for place, text in enumerate(attack(60)):
        upstream.probs = [0.52, 0.48] if place % 2 else [0.48, 0.52]
        body = {"model": "c", "input": text}
        while (await guard.ask("/v1/classify", body, key=KEYS[0]["secret"])).status == 429:
            guard.clock.advance(0.5)
    found = (await operator(guard, "risk/key/k0")).json["signals"]
    assert found["retries"]["p"] < 1e-6
    assert found["class_boundary"]["p"] < 1e-6
    assert found["diversity"]["p"] <= 0.02
    assert found["unlike_others"]["p"] <= 0.02
    assert "topic_shift" in found
    assert "coverage" in found
    quiet = (await operator(guard, "risk/key/k3")).json["signals"]
    assert "retries" not in quiet
    assert quiet["unlike_others"]["p"] > 0.02
