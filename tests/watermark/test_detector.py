import numpy as np
import pytest
from scipy import stats

from watermark.detector import Detector
from watermark.ngrams import Seen, first_places, identities, ngrams
from watermark.schemes.gumbel import Sglang, Vllm
from watermark.statistics.calibration import false_positives, screened, uniformity

LIKELY = 1.0 / np.arange(1, 2001)
LIKELY /= LIKELY.sum()


def random_keys(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 1), np.uint64)


def repetitive(generator: np.random.Generator, size: int) -> np.ndarray:
    """Unmarked text that repeats itself, as natural text does: words and whole phrases."""
    phrases = [generator.choice(LIKELY.size, 15, p=LIKELY) for _ in range(5)]
    parts = [
        phrases[generator.integers(5)] if generator.random() < 0.7 else generator.choice(2000, 15, p=LIKELY)
        for _ in range(size // 15)
    ]
    return np.concatenate(parts)


def marked(scheme, key, size: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    found: list[int] = []
    for _ in range(size):
        context = ngrams([*found[-scheme.width :], 0], scheme.width)[-1, :-1]
        found.append(scheme.mark(key, generator.permutation(LIKELY), context, generator))
    return np.array(found)


@pytest.mark.parametrize("scheme", [Vllm(1), Vllm(4), Sglang(4)], ids=["vllm-1", "vllm-4", "sglang-4"])
def test_p_values_of_unmarked_text_are_uniform_because_contexts_count_once(scheme):
    generator = np.random.default_rng(11)
    texts = [repetitive(generator, 300) for _ in range(500)]
    keys = random_keys(500)
    honest, naive = [], []
    for key, text in zip(keys, texts, strict=True):
        honest.append(np.exp(Detector(scheme, key[np.newaxis]).log_p(text)[0]))
        grams = ngrams(text, scheme.width)[scheme.width :]
        total = scheme.terms(key[np.newaxis], grams).sum()
        naive.append(np.exp(scheme.log_tail(np.array(float(len(grams))), total)))
    assert uniformity(np.array(honest)) > 0.01
    assert all(rate.honest for rate in false_positives(np.array(honest), [0.01, 0.1]))
    assert uniformity(np.array(naive)) < 1e-3
    assert not screened(np.array(naive))
    assert not false_positives(np.array(naive), [0.01])[0].honest


def test_a_stream_finds_what_the_documents_hold_and_counts_an_ngram_once():
    scheme, keys = Vllm(), random_keys(3)
    documents = [marked(scheme, keys[1], 150, seed) for seed in range(4)]
    once = Detector(scheme, keys).stream(documents)
    twice = Detector(scheme, keys).stream(documents * 2)
    assert once.tokens == 600
    assert twice.scored == once.scored
    assert twice.scores == pytest.approx(once.scores)
    assert once.log10_p[1] < -100
    assert once.log10_p[[0, 2]].min() > -4


def test_marked_text_inside_unmarked_is_found_and_placed():
    scheme, keys = Vllm(), random_keys(2)
    generator = np.random.default_rng(2)
    plain = generator.choice(2000, 1500, p=LIKELY)
    text = np.concatenate([plain[:700], marked(scheme, keys[0], 150), plain[700:]])
    mine, other = Detector(scheme, keys).document(text, alpha=1e-6)
    assert mine.log10_p < -6
    assert len(mine.spans) >= 1
    assert all(span.start >= 620 and span.end <= 930 for span in mine.spans)
    assert other.log10_p > -3
    assert other.spans == ()
    assert mine.tokens == 1650
    assert mine.p_value == pytest.approx(10**mine.log10_p)


def test_what_is_not_eligible_is_not_scored():
    scheme, keys = Vllm(), random_keys(1)
    text = marked(scheme, keys[0], 200)
    eligible = np.arange(200) % 2 == 0
    found = Detector(scheme, keys).document(text, eligible=eligible, alpha=1e-6)[0]
    assert found.scored <= 100
    other = Detector(scheme, keys).document(text, eligible=~eligible, alpha=1e-6)[0]
    both = Detector(scheme, keys).document(text, alpha=1e-6)[0]
    assert found.score + other.score == pytest.approx(both.score)


def test_empty_and_short_texts_prove_nothing():
    for scheme in (Vllm(), Sglang()):
        for text in ([], [5], [5, 6]):
            found = Detector(scheme, random_keys(1)).document(text, alpha=1e-6)[0]
            assert -2 < found.log10_p <= 0


def test_keys_in_blocks_score_as_each_alone():
    scheme, keys = Vllm(), random_keys(300)
    grams, _ = Detector(scheme, keys).distinct(np.random.default_rng(4).integers(0, 900, 700))
    together = Detector(scheme, keys).totals(grams)
    assert together == pytest.approx([scheme.terms(key[np.newaxis], grams).sum() for key in keys])


def test_a_bit_table_never_calls_a_state_new_twice_and_knows_its_fill():
    states = identities(np.random.default_rng(0).integers(0, 1000, (20_000, 3)))
    seen = Seen(16)
    first = seen.new(states[:10_000])
    assert seen.fill == first.size / 2**16
    assert np.intersect1d(states[first], states[seen.new(states)]).size == 0
    assert first.size / 10_000 == pytest.approx(1 - 10_000 / 2**17, abs=0.01)


def test_identities_tell_ngrams_apart():
    grams = np.random.default_rng(0).integers(-1, 50, (50_000, 3))
    assert first_places(identities(grams)).size == len(np.unique(grams, axis=0))


def test_over_random_keys_the_windowed_p_value_does_not_promise_too_much():
    text = np.random.default_rng(5).choice(2000, 600, p=LIKELY)
    found = [detection.p_value for detection in Detector(Vllm(), random_keys(600)).document(text, alpha=1e-3)]
    for level in (0.01, 0.05):
        assert stats.binomtest(sum(p <= level for p in found), 600, level, "greater").pvalue > 1e-3
