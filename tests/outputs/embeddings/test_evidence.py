"""The noise of a tenant, found in vectors that were passed on, mapped or learnt; and in nobody else's."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from llmguard.outputs.embeddings.evidence import TooFew, findings, suspect
from llmguard.outputs.embeddings.reduction import Reduction
from llmguard.settings_embeddings import Reduced
from similarity.vectors import Vectors, unit

SIZE, TOLD, COUNT = 96, 64, 400
RANDOM = np.random.default_rng(1)
VECTORS = unit(RANDOM.standard_normal((COUNT, SIZE)))
TEXTS = [str(number).encode() for number in range(COUNT)]
REDUCTION = Reduction(b"k" * 32, "m", SIZE, Reduced(reason="for a test", dimensions=TOLD))
PASSED_ON = REDUCTION("acme", TEXTS, VECTORS)
TENANTS = ["globex", "acme", "initech"]
DECOYS = [f"/{number}" for number in range(19)]
MAP = RANDOM.standard_normal((TOLD, TOLD)).astype(np.float32)


def learnt() -> Vectors:
    """What a model with much memory makes of them: a Gaussian process's mean at the texts that it was fitted to."""
    kernel = np.exp(2 * VECTORS @ VECTORS.T - 2)
    found: Vectors = (kernel @ np.linalg.solve(kernel + 0.3 * np.eye(COUNT), PASSED_ON)).astype(np.float32)
    return found


OURS: dict[str, Callable[[], Vectors]] = {
    "passed on": lambda: PASSED_ON,
    "turned, stretched and moved": lambda: PASSED_ON @ MAP + 1,
    "mapped to half as many numbers": lambda: PASSED_ON @ MAP[:, : TOLD // 2],
    "rounded to signs": lambda: np.sign(PASSED_ON),
    "noisy": lambda: PASSED_ON + RANDOM.normal(0, 0.03, PASSED_ON.shape).astype(np.float32),
    "learnt": learnt,
}
FOREIGN: dict[str, Callable[[], Vectors]] = {
    "the true vectors": lambda: VECTORS,
    "another tenant's": lambda: REDUCTION("nobody", TEXTS, VECTORS),
    "another secret's": lambda: Reduction(b"o" * 32, "m", SIZE, Reduced(reason="for a test"))("acme", TEXTS, VECTORS),
    "noise": lambda: RANDOM.standard_normal((COUNT, 50)).astype(np.float32),
    "all alike": lambda: np.ones((COUNT, 8), np.float32),
}


@pytest.mark.parametrize("name", OURS)
def test_the_tenant_is_found_under_any_linear_map(name: str) -> None:
    first, *others = findings(REDUCTION, suspect(REDUCTION, TEXTS, VECTORS, OURS[name]()), TENANTS, DECOYS)
    assert (first.tenant, first.decoy_rank_p) == ("acme", 1 / (len(DECOYS) + 1))
    assert first.log10_p < -6
    assert all(other.log10_p > -2 for other in others)


@pytest.mark.parametrize("name", FOREIGN)
def test_nobody_is_accused_of_anything_else(name: str) -> None:
    found = findings(REDUCTION, suspect(REDUCTION, TEXTS, VECTORS, FOREIGN[name]()), TENANTS, DECOYS)
    assert min(row.log10_p for row in found) > -3


def test_p_is_uniform_over_keys_whatever_the_suspect_says() -> None:
    """By text and by cell, for vectors that carry another tenant's noise, at cell sizes as they come."""
    answers = suspect(REDUCTION, TEXTS, VECTORS, PASSED_ON @ MAP)
    found = findings(REDUCTION, answers, [f"tenant {number}" for number in range(200)], [])
    for log10_p in ([row.by_text for row in found], [row.by_cell for row in found]):
        assert stats.kstest(10 ** np.array(log10_p), "uniform").pvalue > 0.001
    assert max(row.decoy_rank_p for row in found) == 1


def test_equal_texts_count_once_and_too_few_tell_nothing() -> None:
    few = TOLD // 2
    texts = [TEXTS[at % few] for at in range(COUNT)]
    with pytest.raises(TooFew, match=f"{few} different texts are too few"):
        suspect(REDUCTION, texts, VECTORS, PASSED_ON)
    answers = suspect(REDUCTION, [*TEXTS, *TEXTS], np.vstack([VECTORS, VECTORS]), np.vstack([PASSED_ON, PASSED_ON]))
    once = suspect(REDUCTION, TEXTS, VECTORS, PASSED_ON)
    np.testing.assert_allclose(answers.by_text[TEXTS[0]], once.by_text[TEXTS[0]])
