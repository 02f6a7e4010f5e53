"""Which endpoints a policy opens."""

import pytest

from tests.fakes.connection import FakeClient
from tests.guarded import COMPLETION, Guarded
from tests.serving import KEY, OTHER_KEY

pytestmark = pytest.mark.anyio

OTHER = {**COMPLETION, "model": "other"}


async def test_without_the_control_a_narrow_key_goes_anywhere_and_with_it_nowhere_else() -> None:
    assert (await Guarded(without=["endpoints"]).ask("/v1/completions", OTHER, key=OTHER_KEY)).status == 200
    guard = Guarded()
    client = await guard.ask("/v1/completions", OTHER, key=OTHER_KEY)
    assert (client.status, client.error["code"]) == (403, "endpoint_not_allowed")
    assert guard.upstream.requests == []


@pytest.mark.parametrize("mode", ["enforce", "observe"])
@pytest.mark.parametrize("endpoints", [["embeddings"], ["chat"]])
async def test_embeddings_are_never_exported(mode: str, endpoints: list[str]) -> None:
    policies = {"public": {"endpoints": endpoints}, "narrow": {}}
    guard = Guarded(mode=mode, policies=policies)
    client = await guard.ask("/v1/embeddings", {"model": "chat", "input": "hello"})
    assert (client.status, client.error["code"]) == (403, "embeddings_not_exported")


async def test_it_is_decided_before_the_body_is_read() -> None:
    client = await Guarded().serve(FakeClient("/v1/completions", blocks=(b"not JSON",), key=OTHER_KEY))
    assert (client.status, client.received_first) == (403, 0)


async def test_observe_lets_it_pass() -> None:
    guard = Guarded(mode="observe")
    assert (await guard.ask("/v1/completions", OTHER, key=OTHER_KEY)).status == 200
    assert guard.audit.line["observed"] == ["endpoint_not_allowed"]


async def test_a_key_without_models_lists_none() -> None:
    policies = {"public": {"endpoints": ["chat"]}, "narrow": {}}
    assert (await Guarded(policies=policies).ask("/v1/models", key=KEY)).status == 403
