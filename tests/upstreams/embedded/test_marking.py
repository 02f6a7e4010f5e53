"""The worker's marked sampler, on a toy distribution and with the real model."""

import numpy as np
import pytest

from llmguard.mark import Mark
from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.embedded.marking import marked_draw
from tests.upstreams.embedded.requests import ENDLESS, chat
from watermark.detector import Detector
from watermark.schemes.gumbel import Vllm

MARK = Mark("wm_test", "gumbel-vllm", 4, 0xA1B2C3D4E5F60718)
OTHER = Mark("wm_other", "gumbel-vllm", 4, 0x1122334455667788)
ASKED = {"content": "Tell me a story about a lighthouse.", "temperature": 0.8, "top_p": 0.95, "max_tokens": 120}


def log10_p(model: ChatModel, text: str, mark: Mark = MARK) -> float:
    """What a verifier finds in the text alone."""
    detector = Detector(Vllm(mark.width), np.array([[mark.key]], np.uint64))
    return detector.document(model.encode(text), alpha=1e-6)[0].log10_p


def test_the_mark_is_in_what_is_drawn():
    draw = marked_draw(MARK, np.random.default_rng(0))
    weights, tokens = np.full(200, 0.005), [1, 2]
    for _ in range(100):
        tokens.append(draw(weights, tokens))
    keys = np.array([[MARK.key], [OTHER.key]], np.uint64)
    found = Detector(Vllm(), keys).log_p(tokens[2:])
    assert found[0] < -100
    assert found[1] > -7


def test_a_format_of_another_engine_is_refused():
    with pytest.raises(ValueError, match="gumbel-sglang"):
        marked_draw(Mark("wm_x", "gumbel-sglang", 4, 1), np.random.default_rng(0))


@pytest.mark.anyio
async def test_served_text_is_marked_streamed_or_not(embedded: Embedded, model: ChatModel):
    whole = await embedded.ask(chat(**ASKED, seed=1, **ENDLESS), MARK)
    text = whole.choices[0].message.content or ""  # type: ignore[union-attr]
    streamed = ""
    async for events in embedded.stream(chat(**ASKED, seed=1, **ENDLESS), MARK):
        streamed += "".join(c.delta.content or "" for e in events for c in e.choices)  # type: ignore[union-attr]
    assert streamed == text
    assert log10_p(model, text) < -6
    assert log10_p(model, text, OTHER) > -3
    plain = await embedded.ask(chat(**ASKED, seed=1, **ENDLESS))
    assert log10_p(model, plain.choices[0].message.content or "") > -3  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_greedy_decoding_is_not_moved(embedded: Embedded):
    asked = chat(temperature=0, max_tokens=12)
    assert (await embedded.ask(asked, MARK)).choices == (await embedded.ask(asked)).choices
