"""One verdict on a corpus: marked under its key, not under others, nothing said of a few texts."""

import numpy as np

from tests.watermark.selection.test_corpus import text
from watermark.selection.pick import pick
from watermark.selection.verdict import FEWEST, together

KEYS, IDS = np.array([4, 3, 5], np.uint64), ("a", "b", "c")


def corpus(count: int, m: int = 4) -> list[str]:
    generator, found = np.random.default_rng(3), []
    for _ in range(count):
        candidates = [text(generator, 20) for _ in range(m)]
        found.append(candidates[pick(3, candidates, generator)])
    return found


def test_a_corpus_of_picks_is_its_keys_and_nobody_elses():
    texts = corpus(80)
    found = together(texts, KEYS, IDS, 1e-6)
    assert found.name == "80 texts together"
    verdict = found.verdict
    assert (verdict.answer, verdict.key_id, verdict.scheme, verdict.keys) == ("marked", "b", "selection", 3)
    assert verdict.log10_p is not None
    assert verdict.log10_p < -6
    assert verdict.decoy_rank_p == 1 / 1000
    assert found.course()[0].size == 0
    assert together(texts, KEYS[[0, 2]], IDS[:2], 1e-6).verdict.answer == "not_marked"


def test_of_a_few_texts_nobody_can_tell():
    verdict = together(corpus(FEWEST - 1), KEYS, IDS, 1e-6).verdict
    assert verdict.answer == "cannot_tell"
    assert "too few" in verdict.reason
