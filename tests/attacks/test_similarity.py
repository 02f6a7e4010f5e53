"""Hidden vectors read out through the search API: least squares, ranking and top-k recovery, by colluding keys.

In miniature, with an encoder of 64 dimensions that is made of words; with MiniLM it is a benchmark.
"""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from llmguard.wire.pooling import Embeddings, PoolingAnswer, PoolingRequest
from similarity.disclosure import Answer, Shown
from tests.fakes.words import WordsUpstream
from tests.services.site import Site, opened, settings
from tests.similarity.attack import recovered
from tests.similarity.whole import DIMENSIONS, embedded

pytestmark = pytest.mark.anyio

ITEMS, QUESTIONS, KEYS = 40, 150, 20
VOCABULARY = [f"word{at}" for at in range(120)]
BARE: dict[str, object] = {
    "edges": [at / 31 for at in range(-30, 31)],
    "dither": 0.0,
    "lifetime": 10**6,
    "top_k": 50,
    "same_question": 1.0,
    "reason": "the attack without its defence",
}


def sentences(count: int, seed: int) -> list[str]:
    """Texts of six words."""
    source = random.Random(seed)
    return [" ".join(source.sample(VOCABULARY, 6)) for _ in range(count)]


def colluding(similarity: dict[str, object]) -> dict[str, object]:
    """A tenant with KEYS keys, each another user's."""
    made = settings(policies={"public": {"similarity": similarity}, "tight": {}})
    made["keys"] += [
        {
            "id": f"mallory-{at}",
            "secret": f"lg-key-of-mallory-{at}",
            "user": f"m{at}",
            "tenant": "m",
            "policy": "public",
        }
        for at in range(KEYS)
    ]
    return made


async def asked(site: Site, store: str, texts: Sequence[str]) -> list[Answer]:
    """What the attacker is told of each question; an item is known by its attribute."""
    answers = []
    for turn, text in enumerate(texts):
        headers = {"authorization": f"Bearer lg-key-of-mallory-{turn % KEYS}"}
        body = {"query": text, "max_num_results": 50}
        reply = await site.ask("ann", "POST", f"/vector_stores/{store}/search", body, headers=headers)
        assert reply.status == 200, reply.body
        answers.append(Answer(tuple(Shown(row["attributes"]["at"], row["score"]) for row in reply.json["data"]), ()))
    return answers


async def read_out(similarity: dict[str, object]) -> tuple[dict[str, float], list[Answer]]:
    """The mean cosine over all items that were found, by attack; and the answers."""
    texts, questions = sentences(ITEMS, 1), sentences(QUESTIONS, 2)
    async with opened(WordsUpstream(), colluding(similarity)) as site:
        store = await site.store("ann", *texts, share="*", content="hidden")
        answers = await asked(site, store, questions)
    found = sorted({row.id for answer in answers for row in answer.rows})
    return recovered(embedded(questions), answers, embedded(texts), found), answers


async def test_fine_scores_give_vectors_away_and_the_default_does_not() -> None:
    """What is left is what being found tells, which no search can hide: scores and places add nothing to it."""
    bare, _ = await read_out(BARE)
    assert bare["least squares"] > 0.95, "the attack works on what a search without the defence says"
    default, answers = await read_out({"lifetime": DIMENSIONS // 4})
    assert max(default.values()) < 0.75
    assert max(default.values()) < default["membership"] + 0.05
    scored: dict[int, int] = {}
    for answer in answers:
        for row in answer.rows:
            scored[row.id] = scored.get(row.id, 0) + (row.score is not None)
    assert DIMENSIONS // 8 < max(scored.values()) <= DIMENSIONS // 4, "all keys of a tenant share one budget"


async def test_a_threshold_swept_finds_no_score_between_two_buckets() -> None:
    texts = sentences(ITEMS, 1)
    async with opened(WordsUpstream(), colluding({})) as site:
        store = await site.store("ann", *texts, share="*", content="hidden")
        told = set()
        for at in range(21):
            body = {"query": texts[0], "ranking_options": {"score_threshold": at / 20}}
            headers = {"authorization": "Bearer lg-key-of-mallory-0"}
            reply = await site.ask("ann", "POST", f"/vector_stores/{store}/search", body, headers=headers)
            told.add(str([(row["attributes"]["at"], row["score"]) for row in reply.json["data"]]))
    assert len(told) <= 6, "no more answers than buckets"


async def test_an_answer_repeated_by_other_keys_is_the_same_to_the_last_byte() -> None:
    texts = sentences(ITEMS, 1)
    async with opened(WordsUpstream(), colluding({})) as site:
        store = await site.store("ann", *texts, share="*", content="hidden")
        answers = {str(answer.rows) for answer in await asked(site, store, [texts[0]] * KEYS)}
    assert len(answers) == 1


class Unsteady(WordsUpstream):
    """Vectors whose last bits change from call to call, as a model's do with the batch that a text is in."""

    def __init__(self) -> None:
        super().__init__()
        self._source = np.random.default_rng(1)

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """The same vectors, nearly."""
        answer = await super().pool(request)
        assert isinstance(answer, Embeddings)
        for item in answer.data:
            item.embedding = (np.array(item.embedding) + self._source.normal(0, 1e-7, DIMENSIONS)).tolist()
        return answer


async def test_repeats_have_one_dither_whatever_a_models_last_bits() -> None:
    """Otherwise the mean over repeats would tell a score as finely as one likes."""
    texts = sentences(30, 1)
    async with opened(Unsteady()) as site:
        store = await site.store("ann", *texts)
        for question in sentences(4, 2):
            answers = [
                {row["file_id"]: row["score"] for row in await site.search("ann", store, said)}
                for said in (question, question.upper(), question) * 4
            ]
            assert all(answer == answers[0] for answer in answers)
        bodies = {"inputs": {"source_sentence": texts[0], "sentences": texts[1:20]}}
        told = [await site.good("ann", "POST", "/similarity", bodies) for _ in range(10)]
        assert all(scores == told[0] for scores in told)
