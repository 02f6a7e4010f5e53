import numpy as np
import pytest
from scipy import stats

from watermark.ngrams import first_places, identities, ngrams, whole
from watermark.scheme import Scheme
from watermark.schemes.gumbel import RARE, Sglang, SglangDual, Vllm, VllmDual

TOKENS = [*range(10, 40), *range(10, 16)]
SCHEMES = [Vllm(), VllmDual(), Sglang(), SglangDual()]


def keys(count: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, columns), np.uint64)


def columns(scheme: Scheme) -> int:
    return 2 if "dual" in scheme.name else 1


@pytest.mark.parametrize(
    ("scheme", "key", "prompt", "count", "score", "p"),
    [
        (Vllm(), 42, (), 34, 34.08711419230869, 0.4712527393506044),
        (Sglang(), 0x0123456789ABCDEF, (), 30, 37.193268629882205, 0.10014544483262913),
        (Sglang(), 0x0123456789ABCDEF, (1, 2, 3), 34, 38.26602866610352, 0.2237133054190643),
    ],
)
def test_engines_own_detectors_find_the_same(scheme, key, prompt, count, score, p):
    grams = ngrams(TOKENS, scheme.width, before=prompt)
    if not (scheme.padded or prompt):
        grams = grams[whole(grams)]
    grams = grams[first_places(identities(grams[:, :-1]))]
    total = scheme.terms(np.array([[key]], np.uint64), grams).sum()
    assert len(grams) == count
    assert total == pytest.approx(score, rel=1e-12)
    assert np.exp(scheme.log_tail(count, total)) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("size", [5, 60])
def test_over_random_keys_a_token_is_a_draw_from_the_distribution(scheme: Scheme, size: int):
    generator = np.random.default_rng(7)
    weights = generator.dirichlet(np.ones(5))
    weights = np.concatenate([weights, np.zeros(size - 5)])
    context = np.array([3, 1, 4, 1])
    found = [scheme.mark(key, weights, context, generator) for key in keys(4000, columns(scheme))]
    counts = np.bincount(found, minlength=size)
    assert counts[5:].sum() == 0
    assert stats.chisquare(counts[:5], 4000 * weights[:5]).pvalue > 1e-3


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_over_random_keys_a_score_has_its_null_distribution(scheme: Scheme):
    grams = ngrams(range(200), scheme.width, before=(5, 6, 7, 8))
    totals = scheme.terms(keys(1000, columns(scheme)), grams).sum(axis=1)
    assert stats.kstest(np.exp(scheme.log_tail(len(grams), totals)), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_the_marked_token_scores_as_the_argmax_of_uniforms(scheme: Scheme):
    """Equal weights make the marked token the one with the greatest uniform, so of the greatest score."""
    generator, key = np.random.default_rng(0), keys(1, columns(scheme), seed=4)
    token = scheme.mark(key[0], np.full(50, 0.02), np.array([9, 8, 7, 6]), generator)
    grams = np.array([[9, 8, 7, 6, other] for other in range(50)])
    if "vllm-dual" in scheme.name:
        scheme, key = Vllm(), key[:, :1]  # what the seeded coin takes
    assert int(scheme.terms(key, grams)[0].argmax()) == token


def test_rare_tokens_are_drawn_as_often_as_they_are_likely():
    """Half of it on tokens that one by one are too rare to be hashed, the other half on three that are not."""
    generator, rare = np.random.default_rng(3), 100_000
    weights = np.concatenate([[0.25, 0.15, 0.1], np.full(rare, 0.5 / rare) * generator.uniform(0, 0.4, rare)])
    weights /= weights.sum()
    assert (weights[3:] < RARE * weights.max()).all()
    found = np.array([Vllm().mark(key, weights, np.array([3, 1, 4, 1]), generator) for key in keys(600, 1)])
    counts = [*np.bincount(np.minimum(found, 3), minlength=4)]
    assert stats.chisquare(counts, 600 * np.array([*weights[:3], weights[3:].sum()])).pvalue > 1e-3
    # Among the rare ones too: the chance up to the token drawn is uniform.
    before = np.cumsum(weights[3:]) / weights[3:].sum()
    assert stats.kstest(before[found[found > 2] - 3], "uniform").pvalue > 1e-3


def test_what_is_likely_is_the_keys_choice_alone():
    """However many there are: one by one, as an array, and with most of the vocabulary."""
    for size in (3, 40, 4000):
        weights = np.zeros(8000)
        weights[:size] = np.random.default_rng(size).dirichlet(np.ones(size)) + 1 / size
        key, context = keys(1, 1, seed=size)[0], np.array([1, 2, 3, 4])
        grams = np.column_stack([np.tile(context, (size, 1)), np.arange(size)])
        uniforms = 1 - np.exp(-Vllm().terms(key[np.newaxis], grams)[0])
        best = int(np.argmax(np.log(weights[:size]) - np.log(-np.log(uniforms))))
        assert {Vllm().mark(key, weights, context, np.random.default_rng(seed)) for seed in range(3)} == {best}
