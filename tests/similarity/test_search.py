"""Searches from a text to what may be said, over a whole library."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from similarity.library.entries import Piece
from similarity.library.filters import parsed
from similarity.library.records import Cut, NotFound, Status, Strategy
from similarity.search import Ask, Weights, fused
from similarity.setting import Disclosure, told
from tests.similarity.made import topics
from tests.similarity.whole import DIMENSIONS, Whole

TEXTS = ["red cat sleeps", "blue dog runs", "red dog barks", "green bird sings", "old tree falls"]
LEVELS = {told(bucket, Disclosure().edges) for bucket in range(5)}


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    made = Whole(tmp_path / "library")
    yield made
    made.close()


def filled(whole: Whole, **metadata: str) -> str:
    """A store with a file for each text, numbered."""
    given = {f"llmguard.{key}": value for key, value in metadata.items()}
    store = whole.stores.create("acme", metadata=given).id
    for at, text in enumerate(TEXTS):
        whole.put("acme", store, text, {"at": at})
    return store


def texts(results: object) -> list[str | None]:
    return [row.text for row in results.rows]  # type: ignore[attr-defined]


def test_the_nearest_come_first_and_scores_are_coarse(whole: Whole) -> None:
    results = whole.ask("acme", filled(whole), "red dog barks")
    assert texts(results)[0] == "red dog barks"
    assert set(texts(results)[1:3]) == {"red cat sleeps", "blue dog runs"}
    assert {row.score for row in results.rows} <= LEVELS
    assert results.credits == len(results.rows) == 5


def test_a_filter_and_a_limit_hold(whole: Whole) -> None:
    store = filled(whole)
    found = whole.ask("acme", store, "red dog", filter=parsed({"type": "gte", "key": "at", "value": 3}))
    assert set(texts(found)) == {"green bird sings", "old tree falls"}
    assert len(whole.ask("acme", store, "red dog", limit=2).rows) == 2
    assert whole.ask("acme", store, "red dog", limit=0).rows == ()


def test_words_count_where_they_are_asked_for(whole: Whole) -> None:
    store = filled(whole)
    only_words = whole.ask("acme", store, "falls", weights=Weights(0.0, 1.0))
    assert texts(only_words)[0] == "old tree falls"
    assert texts(whole.ask("acme", store, "red dog", weights=Weights(1.0, 1.0)))[0] == "red dog barks"


def test_fusion_is_by_reciprocal_rank() -> None:
    assert fused([1, 2, 3], [3, 2, 4], Weights(1, 1)) == [3, 2, 1, 4]
    assert fused([1, 2], [2, 1], Weights(1, 0)) == [1, 2]
    assert fused([], [], Weights()) == []


def test_a_hidden_store_shows_no_text_and_finds_nothing_far(whole: Whole) -> None:
    results = whole.ask("acme", filled(whole, content="hidden"), "red dog barks", weights=Weights())
    assert [row.text for row in results.rows] == [None] * len(results.rows)
    assert 0 < len(results.rows) < 5
    assert results.rows[0].attributes == {"at": 2}


def test_a_hidden_item_is_scored_so_often_and_then_found_without_score_across_restarts(
    whole: Whole, tmp_path: Path
) -> None:
    store, setting = filled(whole, content="hidden", share="*"), Disclosure(lifetime=3)
    questions = [f"old tree falls {word}" for word in ("down", "over", "fast", "slowly", "again")]
    scores = [whole.ask("reader", store, question, setting).rows[0].score for question in questions]
    assert [score is None for score in scores] == [False, False, False, True, True]
    assert whole.ask("reader", store, questions[0], setting).rows[0].score == scores[0]
    again = Whole(tmp_path / "library")
    assert [again.ask("reader", store, question, setting).rows[0].score for question in questions] == scores
    assert again.ask("stranger", store, questions[4], setting).rows[0].score is not None
    again.close()


def test_a_paraphrase_gets_the_earlier_answer_free(whole: Whole) -> None:
    store = filled(whole, content="hidden")
    setting = Disclosure(lifetime=1, same_question=0.9)
    first = whole.ask("acme", store, "red dog barks red dog barks", setting)
    assert first.rows[0].score is not None
    assert whole.ask("acme", store, "red dog barks red dog barks and", setting) == first
    assert whole.ask("acme", store, "loud red dog barks now", setting).rows[0].score is None


def test_another_tenants_store_is_none_and_a_shared_one_opens(whole: Whole) -> None:
    private, shared = filled(whole), filled(whole, share="*")
    with pytest.raises(NotFound):
        whole.ask("other", private, "red dog")
    assert len(whole.ask("other", shared, "red dog").rows) == 5


def test_a_deleted_file_is_found_no_more(whole: Whole) -> None:
    store = filled(whole)
    entry = whole.put("acme", store, "purple fish swims")
    number = whole.stores.open("acme", store, "p").number
    assert texts(whole.ask("acme", store, "purple fish"))[0] == "purple fish swims"
    gone = whole.entries.detach("acme", store, entry.file)
    assert "purple fish swims" not in texts(whole.ask("acme", store, "purple fish"))  # before the index knows
    whole.catalogue.remove(number, gone)
    assert "purple fish swims" not in texts(whole.ask("acme", store, "purple fish"))


def test_a_bad_file_fails_with_a_reason_and_the_others_go_on(whole: Whole) -> None:
    store = filled(whole)
    failed = whole.put("acme", store, "{", name="a.jsonl")
    assert (failed.status, failed.error) == (Status.FAILED, "line 1 is not JSON")
    assert whole.put("acme", store, "yellow sun").status is Status.COMPLETED
    assert texts(whole.ask("acme", store, "yellow sun"))[0] == "yellow sun"


def test_an_answer_of_one_length_says_what_it_lacks(whole: Whole) -> None:
    setting = Disclosure(one_length=True)
    for question in ("red dog barks", "nothing of the kind"):
        results = whole.ask("acme", filled(whole, content="hidden"), question, setting)
        assert len(results.rows) + results.blanks == 10


steps = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.sampled_from(["make", "share", "put", "detach", "delete", "look"]),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None)
@given(steps=steps)
def test_no_tenant_ever_sees_anothers(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    """Every text, id and name bears its tenant's letter: none may show in another tenant's view, except by sharing."""
    whole = Whole(tmp_path_factory.mktemp("tenants") / "library")
    stores: list[tuple[str, str, bool]] = []
    for tenant, step, at in steps:
        owner, store, shared = stores[at % len(stores)] if stores else ("", "", False)
        if step in ("make", "share"):
            metadata = {"llmguard.share": "*"} if step == "share" else {}
            stores.append((tenant, whole.stores.create(tenant, f"of-{tenant}", metadata).id, step == "share"))
        elif store and owner != tenant:
            watch(whole, tenant, store, shared)
        elif store and step == "put":
            whole.put(tenant, store, f"text of-{tenant} number {at}", {"owner": f"of-{tenant}"}, f"of-{tenant}.txt")
        elif store and step == "detach":
            for entry in whole.entries.page(tenant, store, Cut()).items[:1]:
                whole.entries.detach(tenant, store, entry.file)
        elif store and step == "delete":
            whole.catalogue.forget(whole.stores.delete(tenant, store))
            stores.remove((owner, store, shared))
        for view in views(whole, tenant, [id for mine, id, _ in stores if mine == tenant]):
            assert not [letter for letter in "abcde" if letter != tenant and f"of-{letter}" in view]
    whole.close()


def watch(whole: Whole, stranger: str, store: str, shared: bool) -> None:
    """A stranger's view of a store: nothing, or its search where it is shared."""
    for operation in (
        lambda: whole.stores.get(stranger, store),
        lambda: whole.stores.delete(stranger, store),
        lambda: whole.stores.update(stranger, store, name="mine"),
        lambda: whole.entries.page(stranger, store, Cut()),
    ):
        with pytest.raises(NotFound):
            operation()
    if shared:
        whole.ask(stranger, store, "text number")
    else:
        with pytest.raises(NotFound):
            whole.ask(stranger, store, "text number")


def views(whole: Whole, tenant: str, stores: list[str]) -> list[str]:
    """All that a tenant can read of its own."""
    own = [whole.stores.page(tenant, Cut()), whole.files.page(tenant, Cut())]
    searches = [whole.ask(tenant, store, "text number") for store in stores]
    return [repr(view) for view in (*own, *searches, *(whole.entries.page(tenant, store, Cut()) for store in stores))]


def test_an_honest_principal_is_never_answered_less(whole: Whole) -> None:
    """300 searches a day for 30 days in 2,000 items: on the last as on the first the order is exact, and all is told.

    Of the days between a few searches stand for the rest, as nothing that they leave grows with their number.
    """
    store = whole.stores.create("acme").id
    file = whole.files.create("acme", "a.txt", b"text").id
    whole.entries.attach("acme", store, file, {}, Strategy())
    pending = whole.entries.work(whole.entries.pending()[0])
    assert pending is not None
    items = topics(2000, DIMENSIONS, 1)
    ids = whole.entries.complete(pending, [Piece(f"item {at}", vector) for at, vector in enumerate(items)])
    for day in range(30):
        whole.at = 1000.0 + 86_400 * day
        for question in topics(300 if day in (0, 29) else 3, DIMENSIONS, 100 + day):
            found = whole.search(Ask("acme", "p", b"acme", store, "", question), Disclosure())
            exact = ids[(-(items @ question)).argsort(kind="stable")[:10]]
            assert [row.chunk for row in found.rows] == exact.tolist()
            assert {row.score for row in found.rows} <= LEVELS
    with whole.database.reading() as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("questions", "charges")
        ]
    assert counts == [0, 0]
