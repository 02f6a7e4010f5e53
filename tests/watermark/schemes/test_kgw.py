import numpy as np
import pytest
import torch
from scipy import stats
from transformers import PretrainedConfig, WatermarkDetector, WatermarkingConfig, WatermarkLogitsProcessor

from watermark.detector import Detector
from watermark.ngrams import ngrams
from watermark.prf import randperm
from watermark.schemes.kgw import Lefthash, Selfhash

KEY = 15485863
KEYS = np.array([[KEY]], np.uint64)
# fmt: off
INPUT = [
    85, 64, 51, 27, 31, 5, 8, 2, 18, 81, 65, 91, 50, 61, 97, 73, 63, 54, 56, 93, 28, 81, 67, 1, 40, 85, 55, 4, 76, 73,
    84, 18, 9, 86, 3, 54, 8, 30, 48, 42, 40, 3, 1, 13, 1, 67, 53, 65, 26, 61, 76, 38, 46, 99, 80, 98, 38, 68, 95, 65,
    5, 6, 7, 5, 6, 7, 5, 6, 7,
]
# fmt: on


def test_the_list_behind_a_token():
    assert randperm.first(KEY * 7, 100, 25)[:10].tolist() == [69, 45, 20, 1, 6, 13, 72, 66, 41, 15]


def test_the_list_behind_four_tokens():
    scheme = Selfhash(100)
    (seed,) = scheme._seeds(KEY, np.array([[1, 2, 3, 7]]))
    assert randperm.first(seed, 100, 10).tolist() == [92, 38, 90, 66, 72, 87, 34, 59, 83, 37]


def test_counts_and_p_value_of_a_text_with_repeats():
    detector = Detector(Lefthash(100), KEYS)
    grams, _ = detector.distinct(INPUT)
    assert (len(grams), detector.totals(grams)[0]) == (63, 21)
    assert np.exp(detector.log_p(INPUT)[0]) == pytest.approx(0.08626607314515539)
    every = ngrams(INPUT, 1)[1:]
    total = detector.totals(every)
    assert (len(every), total[0]) == (68, 21)
    assert np.exp(Lefthash(100).log_tail(np.array(68.0), total))[0] == pytest.approx(0.16309011528385053)


@pytest.mark.parametrize(
    ("scheme", "seeding", "width"), [(Lefthash(800), "lefthash", 1), (Selfhash(800), "selfhash", 4)]
)
def test_transformers_detector_counts_the_same_on_text_that_either_marked(scheme, seeding, width):
    config = WatermarkingConfig(seeding_scheme=seeding, context_width=width, hashing_key=KEY, bias=4.0)
    detector = WatermarkDetector(
        PretrainedConfig(vocab_size=800, bos_token_id=900), "cpu", config, ignore_repeated_ngrams=True
    )
    processor = WatermarkLogitsProcessor(800, "cpu", **config.to_dict())
    generator, torch_generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    weights = generator.dirichlet(np.full(800, 0.3))
    ours, theirs = list(INPUT[:4]), list(INPUT[:4])
    for _ in range(80):
        context = np.array(ours[len(ours) - scheme.width :])
        ours.append(scheme.mark(KEYS[0], weights, context, generator))
        scores = processor(torch.tensor([theirs]), torch.tensor(np.log(weights))[None])
        theirs.append(int(torch.multinomial(scores.softmax(-1), 1, generator=torch_generator)))
    for text in (ours, theirs):
        grams, _ = Detector(scheme, KEYS).distinct(text)
        counted = detector(torch.tensor([text]), return_dict=True)
        assert len(grams) == counted.num_tokens_scored[0]
        assert Detector(scheme, KEYS).totals(grams)[0] == counted.num_green_tokens[0]
        assert Detector(scheme, KEYS).log_p(text)[0] < np.log(1e-3)


def test_green_tokens_odds_grow_by_the_bias():
    scheme, generator = Lefthash(20, bias=1.5), np.random.default_rng(4)
    weights = np.full(20, 0.05)
    found = np.bincount([scheme.mark(KEYS[0], weights, np.array([7]), generator) for _ in range(4000)], minlength=20)
    green = np.isin(np.arange(20), randperm.first(KEY * 7, 20, 5))
    expected = weights * np.where(green, np.exp(1.5), 1)
    assert stats.chisquare(found, 4000 * expected / expected.sum()).pvalue > 1e-3


def test_selfhash_without_context_is_refused():
    with pytest.raises(ValueError, match="unigram"):
        Selfhash(100, width=0)
