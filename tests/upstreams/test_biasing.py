"""The unigram mark in a request: its own green list, within the upstream's bounds, beside what the client biases."""

import numpy as np
import pytest

from llmguard.mark import UNIGRAM, Mark
from llmguard.upstreams.biasing import BYTES, STRENGTH, bias, biased
from llmguard.wire.chat import ChatRequest, UserMessage
from watermark.detector import Detector
from watermark.schemes.unigram import Unigram

pytestmark = pytest.mark.anyio
MARK = Mark("wm_1", UNIGRAM, 0, 9, vocabulary=5000, biased=300)


def test_only_green_tokens_are_biased_the_commonest_first() -> None:
    found = bias(9, 5000, 300)
    tokens = np.array(sorted(map(int, found)))
    assert len(found) == 300
    assert Unigram(5000).green(9)[tokens].all()
    assert BYTES <= tokens.min() < BYTES + 30
    assert tokens.max() < BYTES + 800
    assert set(found.values()) == {STRENGTH}


async def test_the_clients_own_bias_is_added_and_bounded() -> None:
    green = next(iter(bias(9, 5000, 300)))
    asked = ChatRequest(model="m", messages=[UserMessage(content="x")], logit_bias={green: 99.5, "3": -1.0})
    found = (await biased(asked, MARK)).logit_bias or {}
    assert (found[green], found["3"], len(found)) == (100.0, -1.0, 301)


def test_text_that_was_sampled_with_it_shows_the_mark() -> None:
    generator, weights = np.random.default_rng(1), 1 / np.arange(1.0, 1001)
    raised = weights.copy()
    for token, strength in bias(9, 5000, 300).items():
        raised[int(token) - BYTES : int(token) - BYTES + 1] *= np.exp(strength)
    detector = Detector(Unigram(5000), np.array([[9], [10]], np.uint64))
    marked, plain = ((BYTES + generator.choice(1000, 1500, p=some / some.sum())).tolist() for some in (raised, weights))
    assert detector.log_p(marked)[0] < np.log(1e-6)
    assert detector.log_p(marked)[1] > np.log(1e-3)
    assert detector.log_p(plain)[0] > np.log(1e-3)
