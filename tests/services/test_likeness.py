"""Similarity and rerank over HTTP: TEI's and Cohere's shapes, and coarse scores."""

from itertools import combinations

import numpy as np
import pytest

from llmguard.settings_similarity import DISCLOSURE
from similarity.setting import told
from tests.fakes.words import WordsUpstream
from tests.services.site import Site, opened, settings
from tests.similarity.whole import embedded

pytestmark = pytest.mark.anyio

LEVELS = {told(bucket, DISCLOSURE.edges) for bucket in range(len(DISCLOSURE.edges) + 1)}
TEXTS = ["red dog", "old tree falls", "red dog barks", "blue bird"]


async def test_similarity_has_teis_shape_and_coarse_scores(site: Site) -> None:
    pairs = {"source_sentence": "red dog", "sentences": TEXTS}
    scores = await site.good("ann", "POST", "/similarity", {"inputs": pairs, "parameters": {"truncate": True}})
    assert len(scores) == 4
    assert set(scores) <= LEVELS
    assert scores[0] == max(LEVELS)
    assert scores[2] > scores[1]


async def test_a_pair_has_one_score_whoever_comes_first_and_however_often(site: Site) -> None:
    for one, other in combinations(TEXTS, 2):
        pairs = [(one, other), (other, one), (one, other)]
        bodies = [{"inputs": {"source_sentence": a, "sentences": [b]}} for a, b in pairs]
        assert len({str(await site.good("ann", "POST", "/similarity", body)) for body in bodies}) == 1


async def test_rerank_has_teis_shape(site: Site) -> None:
    rows = await site.good("ann", "POST", "/rerank", {"query": "red dog barks", "texts": TEXTS, "raw_scores": False})
    assert [row["index"] for row in rows][:2] == [2, 0]
    assert sorted(row["index"] for row in rows) == [0, 1, 2, 3]
    assert all(set(row) == {"index", "score"} and row["score"] in LEVELS for row in rows)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    rows = await site.good("ann", "POST", "/rerank", {"query": "blue bird", "texts": TEXTS, "return_text": True})
    assert rows[0] == {"index": 3, "score": max(LEVELS), "text": "blue bird"}


async def test_rerank_has_coheres_shape(site: Site) -> None:
    body = {"model": "words", "query": "old tree", "documents": TEXTS, "top_n": 2, "return_documents": True}
    answer = await site.good("ann", "POST", "/rerank", body)
    assert answer["id"].startswith("req_")
    assert answer["meta"] == {"billed_units": {"search_units": 1}}
    assert len(answer["results"]) == 2
    assert answer["results"][0]["document"] == {"text": "old tree falls"}
    assert 0 <= answer["results"][0]["relevance_score"] <= 1
    other = await site.ask("ann", "POST", "/rerank", body | {"model": "chat"})
    assert other.error == (404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, "inputs.sentences"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"] * 257}}, "inputs.sentences"),
        ("/similarity", {"inputs": {"source_sentence": [0.1], "sentences": ["b"]}}, "inputs.source_sentence"),
        ("/rerank", {"query": "a", "texts": ["b"], "raw_scores": True}, "raw_scores"),
        ("/rerank", {"query": "a", "texts": ["b"], "documents": ["b"]}, "documents"),
        ("/rerank", {"query": "a"}, "documents"),
        ("/rerank", {"query": "a", "texts": ["b"], "top_n": 1}, "top_n"),
        ("/rerank", {"query": "a", "documents": ["b"], "return_text": True}, "return_text"),
        ("/rerank", {"query": "a", "documents": [{"text": "b"}]}, "documents[0]"),
    ],
)
async def test_what_is_wrong_is_named(site: Site, path: str, body: object, param: str) -> None:
    status, code, said = (await site.ask("ann", "POST", path, body)).error
    assert (status, code, said) == (400, "invalid_value", param)


async def test_a_gram_matrix_is_cut_short_by_credits_and_coarse_as_far_as_it_goes() -> None:
    """Every pair of a list of texts gives the whole geometry: here the day ends after a part of them."""
    names = [f"w{at} w{at + 1} w{at + 2}" for at in range(24)]
    truth = embedded(names) @ embedded(names).T
    policies = {"public": {"similarity": {"list_credits": 500}}, "tight": {}}
    scores: dict[tuple[int, int], float] = {}
    async with opened(WordsUpstream(), settings(policies=policies)) as site:
        for row in range(23):
            pairs = {"source_sentence": names[row], "sentences": names[row + 1 :]}
            reply = await site.ask("ann", "POST", "/similarity", {"inputs": pairs})
            if reply.status == 200:
                scores |= {(row, row + 1 + at): score for at, score in enumerate(reply.json)}
            else:
                assert reply.error == (429, "insufficient_quota", None)
        assert (await site.ask("ann", "POST", "/rerank", {"query": names[0], "texts": names})).status == 429
    assert 50 < len(scores) <= 100 < 24 * 23 / 2
    assert set(scores.values()) <= LEVELS
    exact = [truth[pair] for pair in scores]
    assert np.corrcoef(list(scores.values()), exact)[0, 1] > 0.5, "coarse scores are still of use"
