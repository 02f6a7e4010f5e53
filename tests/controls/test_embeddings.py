"""Vectors leave reduced, or not at all."""

from array import array
from base64 import b64decode
from typing import Any

import numpy as np
import pytest

from llmguard.wire.chat_answer import Usage
from llmguard.wire.pooling import Embedding, EmbeddingRequest, Embeddings, PoolingAnswer, PoolingRequest, texts
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import Guarded
from tests.serving import OTHER_KEY

pytestmark = pytest.mark.anyio

SIZE = 384
GRANT = {"reason": "a partner searches our help pages"}
ASKED: dict[str, Any] = {"model": "minilm", "input": "hello"}


class Model(FakeUpstream):
    """A vector of random direction for each text, the same for the same text."""

    def __init__(self, size: int = SIZE) -> None:
        super().__init__()
        self.size = size

    def vector(self, text: str) -> list[float]:
        """Not of length 1."""
        row: list[float] = np.random.default_rng(list(text.encode())).standard_normal(self.size).tolist()
        return row

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """The vectors."""
        self.pooled.append(request)
        data = [Embedding(index=i, embedding=self.vector(text)) for i, text in enumerate(texts(request))]
        return Embeddings(data=data, model="upstream-model", usage=Usage(prompt_tokens=7, total_tokens=7))


def guarded(*, model: FakeUpstream | None = None, without: tuple[str, ...] = (), **changes: Any) -> Guarded:
    """Alice is granted vectors, bob is not; they are of one tenant."""
    granted = changes.pop("grant", {})
    policies = {
        "public": {"endpoints": ["embeddings"], "outputs": {"embeddings": "reduced", "reduced": GRANT | granted}},
        "narrow": {"endpoints": ["embeddings"], "outputs": {}},
    }
    for policy in policies.values():
        policy.update(changes.pop("policy", {}))
    models = {
        "minilm": {"task": "embedding", "upstream": "fake", "model": "upstream-model"},
        "chat": {"task": "chat", "upstream": "fake", "model": "upstream-model"},
    }
    return Guarded(model or Model(), without=without, policies=policies, models=models, **changes)


def vectors(client: FakeClient) -> np.ndarray:
    """What an answer tells."""
    assert client.status == 200, client.body
    return np.array([item["embedding"] for item in client.json["data"]])


async def test_without_the_controls_the_models_own_vector_leaves_and_with_them_it_does_not() -> None:
    model = Model()
    bare = await guarded(model=model, without=["endpoints", "embeddings"]).ask("/v1/embeddings", ASKED)
    np.testing.assert_allclose(vectors(bare)[0], model.vector("hello"))
    told = vectors(await guarded(model=model).ask("/v1/embeddings", ASKED))[0]
    assert told.shape == (256,)
    assert abs(float(told @ model.vector("hello")[:256]) / np.linalg.norm(model.vector("hello"))) < 0.25
    refused = await guarded(model=model).ask("/v1/embeddings", ASKED, key=OTHER_KEY)
    assert (refused.status, refused.error["code"]) == (403, "embeddings_not_exported")


async def test_without_the_endpoints_own_look_it_refuses_too() -> None:
    guard = guarded(without=["endpoints"])
    refused = await guard.ask("/v1/embeddings", ASKED, key=OTHER_KEY)
    assert (refused.status, refused.error["code"]) == (403, "embeddings_not_exported")
    assert guard.upstream.pooled == []


async def test_the_answer_is_openais() -> None:
    client = await guarded().ask("/v1/embeddings", {**ASKED, "input": ["a", "b"]})
    assert set(client.json) == {"object", "data", "model", "usage"}
    assert (client.json["object"], client.json["model"]) == ("list", "minilm")
    assert client.json["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert [(set(item), item["object"], item["index"]) for item in client.json["data"]] == [
        ({"object", "index", "embedding"}, "embedding", place) for place in (0, 1)
    ]


async def test_both_formats_tell_the_same() -> None:
    guard = guarded()
    floats = vectors(await guard.ask("/v1/embeddings", ASKED))[0]
    (item,) = (await guard.ask("/v1/embeddings", {**ASKED, "encoding_format": "base64"})).json["data"]
    np.testing.assert_array_equal(np.array(array("f", b64decode(item["embedding"]))), floats.astype(np.float32))


async def test_fewer_numbers_are_a_part_of_the_same_vector_and_more_are_refused() -> None:
    guard = guarded(grant={"dimensions": 64})
    whole = vectors(await guard.ask("/v1/embeddings", ASKED))[0]
    part = vectors(await guard.ask("/v1/embeddings", {**ASKED, "dimensions": 20}))[0]
    np.testing.assert_allclose(part, whole[:20] / np.linalg.norm(whole[:20]), atol=1e-6)
    client = await guard.ask("/v1/embeddings", {**ASKED, "dimensions": 65})
    assert (client.status, client.error["code"], client.error["param"]) == (400, "invalid_value", "dimensions")
    assert "64" in client.error["message"]
    sent = guard.upstream.pooled
    assert sent == [EmbeddingRequest(model="upstream-model", input="hello", encoding_format="float")] * 2


async def test_keys_of_one_tenant_are_told_alike_and_tenants_are_not() -> None:
    keys = [
        {"id": name, "secret": f"lg-test-{name}", "user": name, "tenant": tenant, "policy": "public"}
        for name, tenant in (("ann", "acme"), ("ben", "acme"), ("cleo", "globex"))
    ]
    guard = guarded(keys=keys)
    ann, ben, cleo = [
        vectors(await guard.ask("/v1/embeddings", ASKED, key=f"lg-test-{name}"))[0] for name in ("ann", "ben", "cleo")
    ]
    np.testing.assert_array_equal(ann, ben)
    assert abs(float(ann @ cleo)) < 0.4


async def test_observe_reduces_too_and_gives_nobody_what_is_not_granted() -> None:
    guard = guarded(mode="observe")
    assert vectors(await guard.ask("/v1/embeddings", ASKED)).shape == (1, 256)
    assert (await guard.ask("/v1/embeddings", ASKED, key=OTHER_KEY)).status == 403
    assert (await guard.ask("/v1/embeddings", ASKED, key=None)).status == 403


class Odd(Model):
    """Answers with what is no vector."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def vector(self, text: str) -> list[float]:
        """This."""
        vector: list[float] = self._answer
        return vector


@pytest.mark.parametrize("answer", ["AAAAAA==", [float("inf")] * SIZE, [1e300] * SIZE], ids=["text", "inf", "huge"])
async def test_what_is_no_vector_does_not_leave(answer: object) -> None:
    client = await guarded(model=Odd(answer)).ask("/v1/embeddings", ASKED)
    assert (client.status, client.error["code"]) == (500, "internal_error")


async def test_it_is_priced_by_the_vector() -> None:
    limits = [{"per": "user", "of": "credits", "limit": 250, "every": "1d", "on": ["embeddings"]}]
    guard = guarded(policy={"limits": limits})
    assert (await guard.ask("/v1/embeddings", {**ASKED, "input": ["a", "b"]})).status == 200
    client = await guard.ask("/v1/embeddings", ASKED)
    assert (client.status, client.error["code"]) == (429, "insufficient_quota")


async def test_a_model_of_another_task_does_not_serve() -> None:
    client = await guarded().ask("/v1/embeddings", {**ASKED, "model": "chat"})
    assert (client.status, client.error["param"]) == (400, "model")
