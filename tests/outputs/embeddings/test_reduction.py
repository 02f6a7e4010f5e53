"""What is told of a vector: how exactly, what it hangs on, and what no two answers undo."""

import numpy as np
import pytest

from llmguard.outputs.embeddings.reduction import MOST_TENANTS, Reduction
from llmguard.settings_embeddings import Reduced
from similarity.vectors import unit

KEY, SIZE, COUNT = b"k" * 32, 384, 400
VECTORS = unit(np.random.default_rng(1).standard_normal((COUNT, SIZE)))
TEXTS = [str(number).encode() for number in range(COUNT)]


def reduction(key: bytes = KEY, model: str = "m", size: int = SIZE, **granted: float) -> Reduction:
    """Under a grant."""
    return Reduction(key, model, size, Reduced.model_validate({"reason": "for a test", **granted}))


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Row by row."""
    found: np.ndarray = (unit(one) * unit(other)).sum(axis=1)
    return found


def whole(told: np.ndarray, by: Reduction, tenant: str = "acme") -> np.ndarray:
    """Answers in the model's own axes again: what is learnt of them once both turns are undone."""
    turned: np.ndarray = by._axes.back(by.own(tenant).rotation.back(told))
    return turned


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_the_cosine_to_the_truth_is_that_of_noise_and_levels_alone(bits: int, noise: float) -> None:
    """1 / sqrt(1 + d s²) for noise, half of it ahead of levels that keep 1 - D of the power, half of it after."""
    by = reduction(dimensions=SIZE, bits=bits, noise=noise)
    found = cosines(whole(by("acme", TEXTS, VECTORS), by), VECTORS)
    half = SIZE * noise**2 / 2
    kept = 1 - {1: 0.3634, 4: 0.01154, 8: 0.0001}[bits]
    expected = np.sqrt(kept / (1 + half)) / np.sqrt(1 + half / kept)
    assert float(found.mean()) == pytest.approx(float(expected), abs=0.01)


def test_the_whole_vector_is_cut_and_of_length_1() -> None:
    by = reduction(dimensions=128)
    told = by("acme", TEXTS, VECTORS * 7)
    assert (told.shape, told.dtype) == ((COUNT, 128), np.float32)
    np.testing.assert_allclose(np.linalg.norm(told, axis=1), 1, atol=1e-5)
    changed = VECTORS.copy()
    changed[:, 128:] *= -1
    by_cells = [list(by._buckets(rows)) for rows in (VECTORS, changed)]
    same = [at for at, (one, other) in enumerate(zip(*by_cells, strict=True)) if one == other]
    np.testing.assert_allclose(by("acme", TEXTS, changed)[same], told[same], atol=1e-5)
    assert reduction(dimensions=4096)("acme", TEXTS, VECTORS).shape == (COUNT, SIZE)


def test_asking_again_tells_nothing_new_and_company_changes_nothing() -> None:
    by = reduction()
    told = by("acme", TEXTS, VECTORS)
    np.testing.assert_array_equal(told, by("acme", TEXTS, VECTORS))
    np.testing.assert_array_equal(told, reduction()("acme", TEXTS, VECTORS))
    np.testing.assert_allclose(by("acme", TEXTS[5:6], VECTORS[5:6]), told[5:6], atol=1e-6)


def test_tenants_together_never_know_more_than_the_levels() -> None:
    by = reduction(dimensions=SIZE, bits=1, noise=0.05)
    together = sum(whole(by(f"tenant {number}", TEXTS, VECTORS), by, f"tenant {number}") for number in range(64))
    told = by._axes.back(by.common(VECTORS)[1])
    assert float(cosines(together, told).mean()) > 0.98
    bound = np.sqrt(2 / np.pi / (1 + SIZE * 0.05**2 / 2))
    assert float(cosines(together, VECTORS).mean()) == pytest.approx(float(bound), abs=0.01)


def test_tenants_cannot_compare_their_vectors() -> None:
    by = reduction(dimensions=SIZE, noise=0.005)
    one, other = (by(tenant, TEXTS, VECTORS) for tenant in ("acme", "globex"))
    assert float(np.abs(cosines(one, other)).mean()) < 2 / np.sqrt(SIZE)


@pytest.mark.parametrize("other", [{"noise": 0.01}, {"dimensions": 255}, {"bits": 4}])
def test_grants_that_differ_have_noise_that_differs(other: dict[str, float]) -> None:
    """One noise at two strengths or lengths would cancel: (2 a - b) of strengths s and 2 s is the truth."""
    first, second = reduction(noise=0.02), reduction(**{"noise": 0.02, **other})
    cells = list(first._buckets(VECTORS))
    drawn = [by._noise((by._shared, cells))[0][:, :200] for by in (first, second)]
    assert float(np.abs(cosines(*drawn)).mean()) < 0.15


@pytest.mark.parametrize("other", [reduction(b"o" * 32), reduction(model="n")])
def test_keys_and_models_have_their_own(other: Reduction) -> None:
    assert float(np.abs(cosines(reduction()("acme", TEXTS, VECTORS), other("acme", TEXTS, VECTORS))).mean()) < 0.15


@pytest.mark.parametrize("bad", [np.full((1, SIZE), np.nan), np.zeros(SIZE)])
def test_what_is_no_vector_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="vector"):
        reduction()("acme", TEXTS[:1], bad.astype(np.float32))


def test_a_vector_without_a_direction_becomes_noise() -> None:
    told = reduction()("acme", TEXTS[:1], np.zeros((1, SIZE), np.float32))
    assert float(np.linalg.norm(told)) == pytest.approx(1, abs=1e-5)


def test_tenants_that_have_not_asked_for_long_are_forgotten_and_told_the_same() -> None:
    by = reduction(size=16, dimensions=16)
    rows = unit(np.eye(16)[:1])
    first = by("0", TEXTS[:1], rows)
    for number in range(1, MOST_TENANTS + 5):
        by(str(number), TEXTS[:1], rows)
    assert len(by._tenants) == MOST_TENANTS
    np.testing.assert_array_equal(by("0", TEXTS[:1], rows), first)
