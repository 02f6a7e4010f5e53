"""Reduced vectors with the official client: both formats, fewer numbers, many texts, and what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import openai
import pytest

from tests.fakes import Answer, FakeOpenAI
from tests.serving import KEY, OTHER_KEY, Running, running, tree

pytestmark = pytest.mark.anyio

SIZE = 384


def embed(texts: Any) -> list[list[float]]:
    """The upstream's vectors: of one direction for each text."""
    rows = [np.random.default_rng(list(text.encode())).standard_normal(SIZE) for text in texts]
    return [(row / np.linalg.norm(row)).tolist() for row in rows]


@pytest.fixture
async def guard() -> AsyncIterator[Running]:
    """Alice is granted vectors of 128 numbers, bob none."""
    async with FakeOpenAI() as fake:
        fake.go.set()
        fake.answer = Answer(embed=embed)
        grant = {"reason": "a partner searches our help pages", "dimensions": 128}
        settings = tree(fake.url)
        settings["policies"]["public"] = {
            "endpoints": ["embeddings", "models"],
            "outputs": {"embeddings": "reduced", "reduced": grant},
        }
        settings["models"]["minilm"] = {"task": "embedding", "upstream": "fake", "model": "upstream-model"}
        async with running(settings) as guard:
            yield guard
        for request in fake.requests:
            assert set(request.body) == {"model", "input", "encoding_format"}


@pytest.fixture
async def client(guard: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    """Alice's."""
    async with openai.AsyncOpenAI(base_url=guard.v1, api_key=KEY, max_retries=0) as client:
        yield client


async def test_both_formats_and_the_clients_own_choice_tell_the_same(client: openai.AsyncOpenAI) -> None:
    """The client asks for base64 by itself, and decodes it."""
    chosen = await client.embeddings.create(model="minilm", input="hello")
    floats = await client.embeddings.create(model="minilm", input="hello", encoding_format="float")
    assert (chosen.object, chosen.model, chosen.data[0].object) == ("list", "minilm", "embedding")
    assert (chosen.usage.prompt_tokens, chosen.usage.total_tokens) == (1, 1)
    vector = np.array(chosen.data[0].embedding)
    assert vector.shape == (128,)
    np.testing.assert_allclose(vector, floats.data[0].embedding, atol=1e-7)
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)
    packed: Any = await client.embeddings.create(model="minilm", input="hello", encoding_format="base64")
    assert isinstance(packed.data[0].embedding, str)


async def test_many_texts_and_fewer_numbers(client: openai.AsyncOpenAI) -> None:
    texts = [f"text {number}" for number in range(100)]
    whole = await client.embeddings.create(model="minilm", input=texts)
    fewer = await client.embeddings.create(model="minilm", input=texts, dimensions=16, user="u")
    assert [item.index for item in whole.data] == list(range(100))
    cut = np.array([item.embedding[:16] for item in whole.data])
    told = np.array([item.embedding for item in fewer.data])
    np.testing.assert_allclose(told, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    "more", [{"dimensions": 129}, {"input": [[1, 2, 3]]}, {"input": []}, {"encoding_format": "int8"}]
)
async def test_what_is_refused_is_the_clients_own_mistake(client: openai.AsyncOpenAI, more: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.embeddings.create(**({"model": "minilm", "input": "hello"} | more))


async def test_without_a_grant_the_client_is_pointed_to_similarity(guard: Running) -> None:
    async with openai.AsyncOpenAI(base_url=guard.v1, api_key=OTHER_KEY, max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await client.embeddings.create(model="minilm", input="hello")
    assert caught.value.code == "embeddings_not_exported"
    assert "/v1/similarity" in caught.value.message
