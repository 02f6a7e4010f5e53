"""Which endpoints a policy opens."""

import pytest

from tests.fakes.connection import FakeClient
from tests.guarded import COMPLETION, Guarded
from tests.serving import KEY, OTHER_KEY

pytestmark = pytest.mark.anyio

GRANT = {"reason": "a partner searches our help pages"}
OTHER = {**COMPLETION, "model": "other"}


async def test_without_the_control_a_narrow_key_goes_anywhere_and_with_it_nowhere_else() -> None:
    assert (await Guarded(without=["endpoints"]).ask("/v1/completions", OTHER, key=OTHER_KEY)).status == 200
    guard = Guarded()
    client = await guard.ask("/v1/completions", OTHER, key=OTHER_KEY)
    assert (client.status, client.error["code"]) == (403, "endpoint_not_allowed")
    assert guard.upstream.requests == []


@pytest.mark.parametrize("mode", ["enforce", "observe"])
@pytest.mark.parametrize(
    ("endpoints", "outputs"),
    [
        (["embeddings"], None),
        (["embeddings"], {}),
        (["embeddings"], {"embeddings": "never", "reduced": GRANT}),
        (["chat"], {"embeddings": "reduced", "reduced": GRANT}),
    ],
)
async def test_embeddings_are_not_exported_unless_both_are_named(
    mode: str, endpoints: list[str], outputs: dict[str, object] | None
) -> None:
    policies = {"public": {"endpoints": endpoints, "outputs": outputs}, "narrow": {}}
    guard = Guarded(mode=mode, policies=policies)
    client = await guard.ask("/v1/embeddings", {"model": "chat", "input": "hello"})
    assert (client.status, client.error["code"]) == (403, "embeddings_not_exported")
    assert client.received_first == 0
    for way in ("/v1/similarity", "/v1/vector_stores/{id}/search"):
        assert way in client.error["message"]


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
