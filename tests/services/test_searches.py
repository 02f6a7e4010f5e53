"""Searches over HTTP: what they find, what they say, and what they cost."""

import asyncio
from typing import Any

import pytest

from llmguard.settings_similarity import DISCLOSURE
from similarity.setting import told
from tests.fakes.words import WordsUpstream
from tests.services.site import Site, opened, settings, texts

pytestmark = pytest.mark.anyio

TEXTS = ("red cat sleeps", "blue dog runs", "red dog barks", "green bird sings", "old tree falls")
LEVELS = {told(bucket, DISCLOSURE.edges) for bucket in range(len(DISCLOSURE.edges) + 1)}


def nested(depth: int) -> dict[str, Any]:
    """A filter so many levels deep."""
    found: dict[str, Any] = {"type": "eq", "key": "at", "value": 1}
    for _ in range(depth - 1):
        found = {"type": "and", "filters": [found]}
    return found


async def test_an_answer_has_openais_shape_and_coarse_scores(site: Site) -> None:
    store = await site.store("ann", *TEXTS)
    answer = await site.good("ann", "POST", f"/vector_stores/{store}/search", {"query": "red dog barks"})
    assert (answer["object"], answer["search_query"], answer["has_more"], answer["next_page"]) == (
        "vector_store.search_results.page",
        ["red dog barks"],
        False,
        None,
    )
    assert texts(answer["data"])[0] == "red dog barks"
    assert set(answer["data"][0]) == {"file_id", "filename", "score", "attributes", "content"}
    assert {row["score"] for row in answer["data"]} <= LEVELS
    assert answer["data"][0]["score"] == max(LEVELS)


async def test_limits_filters_thresholds_and_words_hold(site: Site) -> None:
    store = await site.store("ann", *TEXTS)
    assert len(await site.search("ann", store, "red dog", max_num_results=2)) == 2
    not_y, later = {"type": "ne", "key": "x", "value": "y"}, {"type": "gte", "key": "at", "value": 3}
    both = {"type": "and", "filters": [later, not_y]}
    assert set(texts(await site.search("ann", store, "red dog", filters=both))) == set(TEXTS[3:])
    near = await site.search("ann", store, "red dog barks", ranking_options={"score_threshold": 0.85, "ranker": "auto"})
    assert texts(near) == ["red dog barks"]
    words = {"hybrid_search": {"embedding_weight": 0.0, "text_weight": 1.0}}
    assert texts(await site.search("ann", store, "falls", ranking_options=words))[0] == "old tree falls"


async def test_several_questions_are_told_in_turns_each_text_once(site: Site) -> None:
    store = await site.store("ann", *TEXTS)
    rows = await site.search("ann", store, ["red cat sleeps", "old tree falls", "red cat sleeps"], max_num_results=4)
    assert texts(rows)[:2] == ["red cat sleeps", "old tree falls"]
    assert len(set(texts(rows))) == len(rows) == 4


async def test_a_rewritten_question_is_told(site: Site) -> None:
    store = await site.store("ann", *TEXTS)
    body = {"query": "Hello, can you tell me about  the old tree?", "rewrite_query": True}
    answer = await site.good("ann", "POST", f"/vector_stores/{store}/search", body)
    assert answer["search_query"] == ["the old tree"]
    assert texts(answer["data"])[0] == "old tree falls"


async def test_no_more_is_told_than_the_policy_gives() -> None:
    wide = {"public": {"similarity": {"top_k": 3, "one_length": True}}, "tight": {"similarity": {"top_k": 1}}}
    async with opened(WordsUpstream(), settings(policies=wide)) as site:
        store = await site.store("ann", *TEXTS, share="*")
        assert len(await site.search("ann", store, "dog", max_num_results=50)) == 3
        assert len(await site.search("eve", store, "dog", max_num_results=50)) == 1
        lengths = set()
        for query in ("dog", "old tree falls", "nothing of the kind"):
            reply = await site.ask("ann", "POST", f"/vector_stores/{store}/search", {"query": query})
            lengths.add(len(reply.body))
        assert lengths == {4096}


async def test_a_shared_store_is_searched_and_nothing_else_of_it_is_seen(site: Site) -> None:
    shared = await site.store("ann", *TEXTS, share="*")
    named = await site.store("ann", "red dog", share="tight")
    hidden = await site.store("ann", *TEXTS, share="*", content="hidden")
    private = await site.store("ann", *TEXTS)
    assert texts(await site.search("bea", shared, "old tree falls"))[0] == "old tree falls"
    assert texts(await site.search("eve", named, "red dog")) == ["red dog"]
    for tenant, store in (("bea", named), ("bea", private), ("eve", private)):
        reply = await site.ask(tenant, "POST", f"/vector_stores/{store}/search", {"query": "red"})
        assert reply.error == (404, "not_found", None)
    (row, *_) = await site.search("bea", hidden, "old tree falls")
    assert (row["content"], row["filename"], row["attributes"]) == ([], "", {"at": 4})
    bodies = {"": {"name": "mine"}, "/files": {"file_id": "f"}, "/file_batches": {"file_ids": ["f"]}}
    for method, path in (
        ("GET", ""),
        ("POST", ""),
        ("DELETE", ""),
        ("GET", "/files"),
        ("GET", f"/files/{row['file_id']}"),
        ("GET", f"/files/{row['file_id']}/content"),
        ("DELETE", f"/files/{row['file_id']}"),
        ("POST", "/files"),
        ("POST", "/file_batches"),
    ):
        body = bodies[path] if method == "POST" else None
        reply = await site.ask("bea", method, f"/vector_stores/{hidden}{path}", body)
        assert reply.error == (404, "not_found", None)
    assert (await site.ask("bea", "GET", f"/files/{row['file_id']}")).error[0] == 404


async def test_a_hidden_items_scores_run_out_and_it_is_still_found() -> None:
    policies = {"public": {"similarity": {"lifetime": 3}}, "tight": {}}
    async with opened(WordsUpstream(), settings(policies=policies)) as site:
        store = await site.store("ann", *TEXTS, share="*", content="hidden")
        questions = [f"old tree falls {word}" for word in ("down", "over", "fast", "slowly", "again")]
        scores = [(await site.search("bea", store, question))[0]["score"] for question in questions]
        assert [score is None for score in scores] == [False, False, False, True, True]
        assert (await site.search("bea", store, questions[0]))[0]["score"] == scores[0]
        assert (await site.search("cis", store, questions[4]))[0]["score"] is not None


async def test_scores_are_paid_for_and_the_day_ends() -> None:
    policies = {"public": {"similarity": {"search_credits": 60}}, "tight": {}}
    async with opened(WordsUpstream(), settings(policies=policies)) as site:
        store = await site.store("ann", *TEXTS)
        path, five = f"/vector_stores/{store}/search", {"query": "dog", "max_num_results": 5}
        # A score costs 5 credits; what a search may tell is held before it is asked.
        spent = [await site.ask("ann", "POST", path, five) for _ in range(3)]
        assert [reply.status for reply in spent] == [200, 200, 429]
        assert spent[2].error == (429, "insufficient_quota", None)
        assert "credits per user" in spent[2].json["error"]["message"]
        assert (await site.ask("ann", "POST", path, five | {"max_num_results": 2})).status == 200
        headers = {"authorization": "Bearer admin-token-of-the-tests"}
        async with site.clients["ann"].get("/admin/v1/spend/user/ann", headers=headers) as answer:
            (limit,) = [found for found in (await answer.json())["limits"] if found["limit"] == 60]
        assert (limit["of"], limit["spent"], limit["reserved"]) == ("credits", 60, 0)


async def test_limits_of_a_policy_hold_for_searches_and_their_tokens() -> None:
    limits = [
        {"per": "user", "of": "input_tokens", "limit": 120, "every": "1m"},
        {"per": "key", "of": "requests", "limit": 1, "every": "1m", "on": ["similarity"]},
    ]
    async with opened(WordsUpstream(), settings(policies={"public": {"limits": limits}, "tight": {}})) as site:
        store = await site.store("ann", "red dog")
        assert (await site.search("ann", store, "red dog"))[0]["score"] is not None
        reply = await site.ask("ann", "POST", f"/vector_stores/{store}/search", {"query": "x" * 200})
        assert reply.error[:2] == (429, "rate_limit_exceeded")
        assert "x-ratelimit-remaining-tokens" in reply.headers
        body = {"inputs": {"source_sentence": "a", "sentences": ["b"]}}
        statuses = [(await site.ask("bea", "POST", "/similarity", body)).status for _ in range(2)]
        assert statuses == [200, 429]


async def test_a_refused_endpoint_is_refused_before_its_body_is_read() -> None:
    policies = {"public": {"endpoints": ["chat"]}, "tight": {}}
    async with opened(WordsUpstream(), settings(policies=policies)) as site:
        for path in ("/vector_stores", "/files", "/similarity", "/rerank", "/vector_stores/vs_1/search"):
            reply = await site.ask("ann", "POST", path, {})
            assert reply.error == (403, "endpoint_not_allowed", None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": "x" * 8193}, "query"),
        ({"query": ["x"] * 9}, "query"),
        ({"query": [0.1, 0.2]}, "query[0]"),
        ({"query": "x", "vector": [0.1]}, "vector"),
        ({"query": "x", "max_num_results": 0}, "max_num_results"),
        ({"query": "x", "max_num_results": 51}, "max_num_results"),
        ({"query": "x", "filters": nested(100)}, "filters"),
        ({"query": "x", "filters": {"type": "like", "key": "a", "value": "b"}}, "filters"),
        ({"query": "x", "filters": {"type": "in", "key": "a", "value": ["b"] * 257}}, "filters"),
        ({"query": "x", "filters": {"type": "or", "filters": []}}, "filters"),
        ({"query": "x", "ranking_options": {"score_threshold": 1.5}}, "ranking_options.score_threshold"),
        ({"query": "x", "ranking_options": {"ranker": "mine"}}, "ranking_options.ranker"),
    ],
)
async def test_what_is_wrong_is_named(site: Site, body: object, param: str) -> None:
    store = await site.store("ann")
    asked = len(site.upstream.asked)
    status, _, said = (await site.ask("ann", "POST", f"/vector_stores/{store}/search", body)).error
    assert (status, said) == (400, param)
    assert len(site.upstream.asked) == asked


async def test_nothing_is_embedded_for_a_store_that_is_not_there(site: Site) -> None:
    asked = len(site.upstream.asked)
    assert (await site.ask("ann", "POST", "/vector_stores/vs_none/search", {"query": "x"})).status == 404
    assert len(site.upstream.asked) == asked


async def test_a_store_deleted_while_it_is_searched_is_gone(site: Site) -> None:
    store = await site.store("ann", *TEXTS)
    site.upstream.gate.clear()
    asked = len(site.upstream.asked)
    async with asyncio.TaskGroup() as group:
        search = group.create_task(site.ask("ann", "POST", f"/vector_stores/{store}/search", {"query": "dog"}))
        while len(site.upstream.asked) == asked:
            await asyncio.sleep(0.005)
        await site.good("ann", "DELETE", f"/vector_stores/{store}")
        site.upstream.gate.set()
    assert search.result().error == (404, "not_found", None)


async def test_a_model_that_is_down_is_an_upstream_error_and_costs_nothing(site: Site) -> None:
    store = await site.store("ann", *TEXTS)
    site.upstream.down = True
    reply = await site.ask("ann", "POST", f"/vector_stores/{store}/search", {"query": "dog"})
    site.upstream.down = False
    assert reply.error == (502, "upstream_error", None)
    assert len(await site.search("ann", store, "dog")) == 5


async def test_many_searches_at_once_share_the_model_and_each_gets_its_own(site: Site) -> None:
    store = await site.store("ann", *TEXTS)
    found = await asyncio.gather(*(site.search("ann", store, TEXTS[at % 5]) for at in range(40)))
    assert [texts(rows)[0] for rows in found] == [TEXTS[at % 5] for at in range(40)]
