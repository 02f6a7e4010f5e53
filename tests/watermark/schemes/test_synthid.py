import numpy as np
import pytest
import torch
from scipy import stats
from synthid_text.logits_processing import SynthIDLogitsProcessor
from transformers import SynthIDTextWatermarkLogitsProcessor

from watermark.detector import Detector
from watermark.ngrams import ngrams
from watermark.prf import randperm
from watermark.schemes.synthid import SynthId

# fmt: off
KEYS = [
    654, 400, 836, 123, 340, 443, 597, 160, 57, 29, 590, 639, 13, 715, 468, 990, 966, 226, 324, 585, 118, 504, 421,
    521, 129, 669, 732, 225, 90, 960,
]
# fmt: on
KEY = np.array([KEYS], np.uint64)
INPUT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
ROWS = [
    "110111110110110010010111110010",
    "010100011111010111011001101111",
    "100101110100100011100110111111",
    "111101001010101111111011100011",
    "111110100010000010001011100000",
    "000001010111000010011100110111",
    "001110100011001010011000001100",
    "011001111011011000101101111010",
    "111111000011100001100101011000",
    "011000110100101110110000010001",
    "000010100011101110010001110110",
    "101100011000000000010100111001",
]


def reference(keys: list[int], skip: bool = True) -> SynthIDTextWatermarkLogitsProcessor:
    return SynthIDTextWatermarkLogitsProcessor(
        ngram_len=5,
        keys=keys,
        sampling_table_size=2**16,
        sampling_table_seed=0,
        context_history_size=1024,
        device=torch.device("cpu"),
        skip_first_ngram_calls=skip,
    )


def test_the_published_bits_come_out_exactly():
    bits = SynthId().bits(KEY, ngrams(INPUT, 4)[4:])[0]
    assert ["".join(map(str, row)) for row in bits] == ROWS


def test_the_table_is_the_one_that_transformers_draws():
    table = (randperm.words(0, 65536) & 1).astype(np.int64)
    assert table.sum() == 32743
    assert table[:16].tolist() == [0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0]
    assert np.array_equal(table, reference(KEYS).sampling_table.numpy())


def test_layers_update_as_the_published_numbers_say():
    logits, bits = np.array([0.1, 0.5, -0.3, 1.2, 0.0]), np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]])
    expected = [0.16443199568445444, 0.22948779152558346, 0.2652922393607105, 0.1920037510116298, 0.14878422241762185]
    weights = np.exp(logits) / np.exp(logits).sum()

    class Fixed(SynthId):
        def bits(self, keys, grams):
            return bits[np.newaxis]

    assert Fixed(depth=2).updated(KEY[0], weights, np.zeros(4, np.int64)) == pytest.approx(expected, rel=1e-6)


def test_transformers_finds_the_same_on_text_that_either_marked():
    scheme, processor, generator = SynthId(), reference(KEYS), np.random.default_rng(0)
    torch_generator = torch.Generator().manual_seed(0)
    weights = generator.dirichlet(np.full(300, 0.5))
    ours, theirs = [], []
    for _ in range(120):
        context = ngrams([*ours[-4:], 0], 4)[-1, :-1]
        ours.append(scheme.mark(KEY[0], weights, context, generator))
        scores = processor(torch.tensor([theirs or [0]]), torch.tensor(np.log(weights))[None])
        theirs.append(int(torch.multinomial(scores.softmax(-1), 1, generator=torch_generator)))
    slope = np.linspace(10, 1, 30) * 30 / np.linspace(10, 1, 30).sum()
    for text in (ours, theirs):
        bits = processor.compute_g_values(torch.tensor([text]))[0].numpy()
        grams = ngrams(text, 4)[4:]
        assert np.array_equal(scheme.bits(KEY, grams)[0], bits)
        assert scheme.terms(KEY, grams)[0] == pytest.approx(bits @ slope)
        assert Detector(scheme, KEY).log_p(text)[0] < np.log(1e-9)


def test_the_authors_own_package_finds_the_same_on_text_that_either_marked():
    """synthid-text: its sampler keeps its own context and looks at the likeliest tokens, here at all."""
    scheme, generator = SynthId(), np.random.default_rng(2)
    torch_generator = torch.Generator().manual_seed(2)
    weights = generator.dirichlet(np.full(300, 0.5))
    processor = SynthIDLogitsProcessor(
        ngram_len=5,
        keys=KEYS,
        sampling_table_size=2**16,
        sampling_table_seed=0,
        context_history_size=1024,
        temperature=1.0,
        top_k=300,
        device=torch.device("cpu"),
        skip_first_ngram_calls=True,
    )
    ours, theirs = [], []
    for _ in range(120):
        context = ngrams([*ours[-4:], 0], 4)[-1, :-1]
        ours.append(scheme.mark(KEY[0], weights, context, generator))
        scores, tokens, _ = processor.watermarked_call(
            torch.tensor([theirs or [0]]), torch.tensor(np.log(weights), dtype=torch.float32)[None]
        )
        drawn = torch.multinomial(scores.softmax(-1), 1, generator=torch_generator)
        theirs.append(int(tokens.gather(1, drawn)))
    for text in (ours, theirs):
        bits = processor.compute_g_values(torch.tensor([text]))[0].numpy()
        assert np.array_equal(scheme.bits(KEY, ngrams(text, 4)[4:])[0], bits)
        assert Detector(scheme, KEY).log_p(text)[0] < np.log(1e-9)


def test_over_random_keys_a_token_is_a_draw_from_the_distribution():
    scheme, generator = SynthId(), np.random.default_rng(5)
    weights = generator.dirichlet(np.ones(6))
    keys = generator.integers(0, 2**64, (4000, 30), np.uint64)
    found = np.bincount([scheme.mark(key, weights, np.array([3, 1, 4, 1]), generator) for key in keys], minlength=6)
    assert stats.chisquare(found, 4000 * weights).pvalue > 1e-3


def test_over_random_keys_the_score_is_close_to_normal():
    keys = np.random.default_rng(6).integers(0, 2**64, (1000, 30), np.uint64)
    found = np.exp(Detector(SynthId(), keys).log_p(np.random.default_rng(7).integers(0, 49152, 300)))
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_only_sixteen_bits_of_a_key_count():
    grams = ngrams(INPUT, 4)[4:]
    assert np.array_equal(SynthId().bits(KEY + np.uint64(2**16), grams), SynthId().bits(KEY, grams))


def test_a_long_text_scores_no_more_than_the_tables_size():
    grams, _ = Detector(SynthId(), KEY).distinct(np.random.default_rng(8).integers(0, 49152, 200_000))
    assert len(grams) <= 65536
