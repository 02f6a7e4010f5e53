"""Words: BM25 over one store alone."""

import math

from similarity.library.matching import WORD
from similarity.vectors import ids_of
from tests.similarity.library.conftest import Library

TEXTS = ["the red cat sat", "the blue dog ran far away", "a cat and a cat and a dog", "nothing here", "cat"]


def bm25(question: str, texts: list[str]) -> list[float]:
    """Okapi BM25 (k1 1.2, b 0.75; Robertson and Zaragoza 2009), as SQLite's FTS5 defines its idf."""
    split = [text.lower().split() for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = [0.0] * len(texts)
    for word in question.lower().split():
        have = sum(word in words for words in split)
        idf = max(1e-6, math.log((len(split) - have + 0.5) / (have + 0.5)))
        for at, words in enumerate(split):
            count = words.count(word)
            scores[at] += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(words) / mean))
    return scores


def test_the_order_is_that_of_bm25(library: Library) -> None:
    library.put("acme", library.stores.create("acme").id, TEXTS)
    scores = bm25("blue cat", TEXTS)
    expected = [at + 1 for at in sorted(range(5), key=lambda at: -scores[at]) if scores[at] > 0]
    assert library.matching.worded(1, "blue cat", 10, None).tolist() == expected
    assert library.matching.worded(1, "blue cat", 2, None).tolist() == expected[:2]
    assert library.matching.worded(1, "blue cat", 9, ids_of([3, 5])).tolist() == [id for id in expected if id in (3, 5)]


def test_another_store_changes_nothing(library: Library) -> None:
    library.put("acme", library.stores.create("acme").id, TEXTS)
    before = library.matching.worded(1, "cat dog red blue", 10, None).tolist()
    library.put("other", library.stores.create("other").id, ["blue blue blue", "red dog"] * 20)
    assert library.matching.worded(1, "cat dog red blue", 10, None).tolist() == before


def test_a_question_is_words_and_never_an_expression(library: Library) -> None:
    library.put("acme", library.stores.create("acme").id, TEXTS)
    for question in ('" OR *', "NEAR(cat", "text:cat", 'cat" AND "dog', "", "!!", "ca*", "'; DROP TABLE chunks"):
        found = library.matching.worded(1, question, 10, None).tolist()
        assert bool(found) == any(word in " ".join(TEXTS).split() for word in WORD.findall(question))


def test_a_store_that_hides_its_texts_is_not_searched_by_words(library: Library) -> None:
    store = library.stores.create("acme", metadata={"llmguard.content": "hidden"}).id
    library.put("acme", store, TEXTS)
    assert library.matching.worded(1, "cat", 10, None).tolist() == []
    library.entries.detach("acme", store, library.entries.get("acme", store, "file-1").file)
