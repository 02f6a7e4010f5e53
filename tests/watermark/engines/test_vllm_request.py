import numpy as np
import pytest

from tests.fakes.vllm import SamplingParams
from watermark.engines.vllm_field import FIELD, word
from watermark.engines.vllm_request import answer

GENERATOR = np.random.default_rng(1)


def params(given: object, **changes: object) -> SamplingParams:
    return SamplingParams(extra_args={FIELD: given}, **changes)


def test_a_word_is_read_as_it_was_written():
    found = answer(params(word(0xFFEE, 3), temperature=0.7, top_k=5, top_p=0.9, min_p=0.1), GENERATOR)
    assert found is not None
    assert (found.key, found.width) == (0xFFEE, 3)
    assert (found.warping.temperature, found.warping.top_k, found.warping.top_p, found.warping.min_p) == (
        0.7,
        5,
        0.9,
        0.1,
    )


@pytest.mark.parametrize("found", [SamplingParams(), SamplingParams(extra_args={"other": 1}),
                                   params(word(1, 4), temperature=0.0),
                                   params(word(1, 4), structured_outputs={"json": {}})])  # fmt: skip
def test_what_is_not_to_be_marked_is_not(found: SamplingParams):
    assert answer(found, GENERATOR) is None


@pytest.mark.parametrize("given", ["", "12:4", "g" * 16 + ":4", "0" * 16, "0" * 16 + ":0", "0" * 16 + ":65",
                                   "0" * 16 + ":-1", 7, ["x"], "A" * 16 + ":4"])  # fmt: skip
def test_a_word_that_is_none_of_ours_is_refused_and_not_repeated(given: object):
    with pytest.raises(ValueError, match=FIELD) as error:
        answer(params(given), GENERATOR)
    assert str(given) not in str(error.value) or given in ("", 7)
