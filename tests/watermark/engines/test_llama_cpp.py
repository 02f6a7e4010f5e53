"""The callable as llama-cpp-python calls it for every token (recorded from 0.3.35): tokens so far, scores."""

import numpy as np
import pytest

from watermark.detector import Detector
from watermark.engines.llama_cpp import MarkingProcessor
from watermark.marker import Marker, Marking
from watermark.schemes.gumbel import Vllm

VOCABULARY = 400
KEY = np.array([11], np.uint64)
DATA = np.dtype([("id", np.intc), ("logit", np.single), ("p", np.single)], align=True)


def processor(**options: float) -> MarkingProcessor:
    return MarkingProcessor(Marker(Marking(Vllm()), KEY, np.random.default_rng(2)), **options)


def called(made: MarkingProcessor, tokens: list[int], logits: np.ndarray) -> np.ndarray:
    """Its sampler: a record array in C's own layout, whose logits are written over with what the callable gives."""
    records = np.recarray(shape=logits.shape, dtype=DATA, buf=bytearray(DATA.itemsize * logits.size))
    records.id, records.logit = np.arange(logits.size), logits
    records.logit[:] = made(np.array(tokens, np.intc), records.logit)
    return records.logit.copy()


def test_an_answer_is_marked():
    generator, made, tokens = (
        np.random.default_rng(1),
        processor(temperature=0.9, top_k=0, top_p=0.95, min_p=0.0),
        [1, 2, 3],
    )
    for _ in range(90):
        left = called(made, tokens, generator.normal(0, 1.5, VOCABULARY).astype(np.single))
        assert np.isfinite(left).sum() == 1
        tokens.append(int(left.argmax()))
    mine, other = Detector(Vllm(), np.array([[11], [12]], np.uint64)).log_p(tokens[3:])
    assert mine < np.log(1e-9)
    assert other > np.log(1e-4)


def test_it_draws_only_what_the_parameters_leave():
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.06, 0.04], np.single))
    for options, kept in (
        ({"top_k": 2, "top_p": 1.0, "min_p": 0.0}, {0, 1}),
        ({"top_k": 0, "top_p": 0.65, "min_p": 0.0}, {0, 1}),
        ({"top_k": 0, "top_p": 1.0, "min_p": 0.4}, {0, 1, 2}),
    ):
        found = {int(called(processor(temperature=1.5, **options), [], logits).argmax())}
        weights = processor(temperature=1.5, **options)._distribution(logits)
        assert set(np.flatnonzero(weights).tolist()) == kept >= found
        assert weights.sum() == pytest.approx(1)
        assert weights[0] / weights[1] == pytest.approx((4 / 3) ** (1 / 1.5), rel=1e-5)


def test_greedy_decoding_is_refused():
    with pytest.raises(ValueError, match="greedy"):
        processor(temperature=0.0)
