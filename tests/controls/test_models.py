"""Which models a policy opens, and that the others are as if they were not."""

import pytest

from tests.controls.test_authentication import answer
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, STREAM, Guarded
from tests.serving import OTHER_KEY

pytestmark = pytest.mark.anyio

MODELS = {
    "chat": {"task": "chat", "upstream": "fake", "model": "real"},
    "chat-large": {"task": "chat", "upstream": "fake", "model": "real-large"},
    "Chat-x": {"task": "chat", "upstream": "fake", "model": "real-x"},
    "org/embed": {"task": "embedding", "upstream": "fake", "model": "real-embed"},
    "intent": {"task": "classify", "upstream": "fake", "model": "real-intent"},
}


async def test_without_the_control_a_client_chooses_the_upstreams_model_and_with_it_does_not() -> None:
    """The raw upstream serves any name that it knows; the guard only what it publishes."""
    upstream = FakeUpstream()
    request = {**CHAT, "model": "upstream-model"}
    client = await Guarded(upstream).chat(request)
    assert (client.status, client.error["code"], client.error["param"]) == (404, "model_not_found", "model")
    assert upstream.requests == []
    # Without it there is no target, so that nothing is forwarded at all: it fails closed.
    assert (await Guarded(upstream, without=["models"]).chat()).status == 500
    await Guarded(upstream).chat()
    assert [sent.model for sent in upstream.requests] == ["upstream-model"]


@pytest.mark.parametrize("mode", ["enforce", "observe"])
async def test_a_forbidden_model_answers_as_one_that_is_not(mode: str) -> None:
    guard = Guarded(mode=mode)

    async def refused(name: str, body: dict[str, object] | None) -> tuple[int, dict[str, str], bytes]:
        path = "/v1/chat/completions" if body else f"/v1/models/{name}"
        json = {**body, "model": name} if body else None
        client = await guard.ask(path, json, key=OTHER_KEY)
        # The length tells the name's own, which the client knows: names of one length are compared.
        return answer(client)

    for body in (CHAT, STREAM, None):
        assert await refused("chat", body) == await refused("none", body)
    assert (await refused("chat", CHAT))[0] == 404
    assert (await guard.chat({**CHAT, "model": "other"}, key=OTHER_KEY)).status == 200


@pytest.mark.parametrize(
    ("patterns", "visible"),
    [
        (["*"], list(MODELS)),
        (["chat"], ["chat"]),
        (["chat*"], ["chat", "chat-large"]),
        (["*-*"], ["chat-large", "Chat-x"]),
        (["org/*", "intent"], ["org/embed", "intent"]),
        (["ch?t"], ["chat"]),
        (["none"], []),
        ([], []),
    ],
)
async def test_patterns(patterns: list[str], visible: list[str]) -> None:
    guard = Guarded(models=MODELS, policies={"public": {"models": patterns}, "narrow": {}})
    listed = (await guard.ask("/v1/models")).json
    assert [model["id"] for model in listed["data"]] == visible
    for name in MODELS:
        client = await guard.ask(f"/v1/models/{name}")
        assert (client.status == 200) == (name in visible)
        if client.status == 200:
            assert client.json == {"id": name, "created": 1_800_000_000, "object": "model", "owned_by": "llmguard"}


async def test_nothing_of_the_upstream_is_listed() -> None:
    client = await Guarded(models=MODELS).ask("/v1/models")
    assert not any(word in client.body for word in (b"real", b"fake"))


@pytest.mark.parametrize("name", ["org/embed", "intent"])
async def test_a_model_of_another_task_does_not_chat(name: str) -> None:
    client = await Guarded(models=MODELS).chat({**CHAT, "model": name})
    assert (client.status, client.error["code"], client.error["param"]) == (400, "invalid_value", "model")


@pytest.mark.parametrize(("extensions", "status"), [((), 400), (("top_k",), 200)])
@pytest.mark.parametrize("top_k", [0, 5])
async def test_top_k_is_a_parameter_where_the_upstream_knows_it(
    extensions: tuple[str, ...], status: int, top_k: int
) -> None:
    upstream = FakeUpstream(extensions=extensions)
    client = await Guarded(upstream).chat({**CHAT, "top_k": top_k})
    assert client.status == status
    if status == 400:
        assert (client.error["code"], client.error["param"]) == ("unknown_parameter", "top_k")
        assert upstream.requests == []
    else:
        assert upstream.requests[0].top_k == top_k


async def test_a_model_without_a_name_is_no_url() -> None:
    assert (await Guarded().ask("/v1/models/")).error["code"] == "unknown_url"
