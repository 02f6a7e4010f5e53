"""The batch in PyTorch says the same as the one implementation in numpy."""

import numpy as np
import pytest
import torch

from llmguard.upstreams.embedded.order import Sampling
from llmguard.upstreams.embedded.sampling import probabilities
from watermark.engines.gumbel import Warping, distribution, drawn, uniforms
from watermark.prf import philox

KEYS = [0, 1, 2**64 - 1, 0x0123456789ABCDEF]
CONTEXTS = [(1, 2, 3, 4), (0, 0, 0, 0), (151_000, 7, 9, 2**31 - 1), (5,)]


def test_uniforms_are_those_of_the_one_philox_bit_by_bit():
    states = [philox.one_context_state(key, context) for key, context in zip(KEYS, CONTEXTS, strict=True)]
    found = uniforms(KEYS, states, 1001, torch.device("cpu")).numpy()
    for row, key, state in zip(found, KEYS, states, strict=True):
        assert row.tobytes() == philox.vocabulary(np.array(key, np.uint64), state, 1001).tobytes()


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (0.7, 0, 0.9), (1.3, 20, 1.0), (0.8, 50, 0.95), (1.0, 1, 1.0)]
)
def test_a_row_is_cut_by_its_own_request_and_no_others(temperature: float, top_k: int, top_p: float):
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(3)) * 3
    rows = distribution(logits, [Warping(temperature, top_k, top_p), Warping()]).numpy()
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    expected = [probabilities(row.numpy().astype(np.float64), each) for row, each in
                zip(logits, (sampling, Sampling()), strict=True)]  # fmt: skip
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-12)


def test_min_p_cuts_by_the_likeliest():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    assert distribution(logits, [Warping(min_p=0.2)]).numpy()[0] == pytest.approx(
        [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]
    )


def test_what_has_no_weight_is_not_drawn():
    weights = torch.tensor([[0.0, 1e-9, 0.0]])
    assert drawn(weights, torch.tensor([[1 - 1e-7, 1e-7, 1 - 1e-7]])).tolist() == [1]
