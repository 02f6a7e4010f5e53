import numpy as np
import pytest
from scipy import stats

from watermark.detector import Detector
from watermark.marker import Marker, Marking
from watermark.schemes.gumbel import Sglang, Vllm

KEY = np.array([0xA1B2C3D4E5F60718], np.uint64)
VOCABULARY = 400
TABLE = np.random.default_rng(0).dirichlet(np.full(VOCABULARY, 0.05), VOCABULARY)
"""A toy model: the next token's distribution after each token, of about 2.3 nats."""


def answer(draw, prompt: list[int], length: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(length):
        tokens.append(draw(TABLE[tokens[-1]], tokens))
    return tokens[len(prompt) :]


def marker(seed: int, scheme=None, **options) -> Marker:
    return Marker(Marking(scheme or Vllm(), **options), KEY, np.random.default_rng(seed))


def distinct(answers: list[list[int]]) -> int:
    return len({tuple(found) for found in answers})


def agreement(answers: list[list[int]]) -> np.ndarray:
    """The length of the common beginning of each neighbouring pair."""
    pairs = zip(answers[::2], answers[1::2], strict=True)
    return np.array([next((i for i, (a, b) in enumerate(zip(*pair, strict=True)) if a != b), 40) for pair in pairs])


def test_a_keyed_sampler_alone_gives_one_prompt_one_answer():
    """The trap: without the unmarked tokens, 200 answers are one."""

    def bare(weights, context):
        width = np.array(context[-4:])
        return Sglang().mark(KEY, weights, width, np.random.default_rng(0))

    assert distinct([answer(bare, [1, 2, 3, 4], 40) for _ in range(20)]) == 1


@pytest.mark.parametrize("scheme", [Vllm(), Sglang()], ids=["vllm", "sglang"])
def test_repeated_prompts_agree_no_more_than_unmarked_ones(scheme):
    marked = [answer(marker(seed, scheme), [1, 2, 3, 4], 40) for seed in range(200)]
    plain = [answer(marker(1000 + seed, scheme, unmarked_share=1.0), [1, 2, 3, 4], 40) for seed in range(200)]
    assert distinct(marked) == distinct(plain) == 200
    assert stats.mannwhitneyu(agreement(marked), agreement(plain)).pvalue > 0.01


def test_what_is_left_to_chance_costs_the_detector_little():
    detector = Detector(Vllm(), KEY[np.newaxis])
    found = {
        share: np.mean(
            [detector.log_p(answer(marker(seed, unmarked_share=share), [seed], 100))[0] for seed in range(30)]
        )
        for share in (0.0, 0.1)
    }
    assert 0.6 < found[0.1] / found[0.0] < 0.95
    assert found[0.1] < np.log(1e-15)


def test_first_tokens_are_drawn_by_chance():
    first = [answer(marker(seed, unmarked_share=0.0), [7], 4) for seed in range(300)]
    assert distinct(first) > 100
    counts = np.bincount([found[0] for found in first], minlength=VOCABULARY)
    likely = TABLE[7] * 300 > 5
    rest = np.append(counts[likely], counts[~likely].sum())
    assert stats.chisquare(rest, np.append(TABLE[7][likely], TABLE[7][~likely].sum()) * 300).pvalue > 1e-3


def test_a_context_is_marked_once_in_an_answer():
    draw = marker(0, Vllm(1), unmarked_share=0.0)
    weights = np.full(50, 0.02)
    draw(weights, [3])
    again = {draw(weights, [3, 9, 8, 7]) for _ in range(30)}
    assert len(again) > 10


def test_a_sure_token_is_passed_over():
    weights = np.full(50, 0.004)
    weights[7] = 1 - 49 * 0.004
    sure, keyed = (marker(0, Vllm(1), unmarked_share=0.0, max_probability=limit) for limit in (0.5, 0.9))
    sure(weights, [3])
    keyed(weights, [3])
    kept = {sure(weights, [3, place]) for place in range(400)}
    assert len(kept) > 5
    assert [keyed(weights, [3, 5])] == [Vllm(1).mark(KEY, weights, np.array([5]), np.random.default_rng(0))]


def test_the_prompts_end_is_context_where_the_format_says_so():
    weights = np.full(200, 0.005)
    for scheme, context in ((Sglang(2), [8, 9]), (Vllm(2), [8, 9])):
        draw = marker(0, scheme, unmarked_share=0.0)
        draw(weights, [1, 2, 3])
        token = draw(weights, [1, 2, 3, 8, 9])
        assert token == scheme.mark(KEY, weights, np.array(context), np.random.default_rng(0))


def test_an_answer_is_unmarked_until_it_has_surprised_enough():
    """One prompt, one key: with a lead of 12 nats no two answers begin their marked part alike."""
    led = [answer(marker(seed, unmarked_share=0.0, lead=12.0), [7], 40) for seed in range(200)]
    plain = [answer(marker(1000 + seed, unmarked_share=1.0), [7], 40) for seed in range(200)]
    assert agreement(led).max() < 12
    assert stats.mannwhitneyu(agreement(led), agreement(plain)).pvalue > 0.01
    # It is chance, not the first tokens' number, that is waited for: sure tokens do not count.
    sure = np.zeros(50)
    sure[3] = 1.0
    draw = marker(0, Vllm(1), unmarked_share=0.0, lead=1.0)
    assert {draw(sure, [1, *[3] * place]) for place in range(30)} == {3}
    flat = np.full(50, 0.02)
    first = {marker(seed, Vllm(1), unmarked_share=0.0, lead=100.0)(flat, [3]) for seed in range(40)}
    assert len(first) > 10
