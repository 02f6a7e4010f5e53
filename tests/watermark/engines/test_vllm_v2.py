"""The V2 interface, as recorded: slots stay, rows change places, tokens are on the device."""

from importlib.metadata import entry_points
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.fakes import vllm
from tests.fakes.vllm import CONFIG, SamplingParams, V2Runner
from watermark.detector import Detector
from watermark.engines.vllm_field import FIELD, word
from watermark.schemes.gumbel import Vllm

VOCABULARY, KEYS = 500, (11, 12)
PLAIN = SamplingParams(temperature=0.9)


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> type[vllm.V2]:
    vllm.install(monkeypatch)
    from watermark.engines.vllm_v2 import Marking

    return Marking


def params(key: int) -> SamplingParams:
    return SamplingParams(temperature=0.9, top_p=0.95, extra_args={FIELD: word(key, 4)})


def test_answers_are_marked_each_under_its_own_key_whatever_row_they_stand_in(kind: type[vllm.V2]):
    torch.manual_seed(1)
    runner = V2Runner(4, 200, VOCABULARY)
    made = kind(CONFIG, runner.states)
    for slot, (key, prompt) in {0: (11, [1]), 2: (12, [1, 2, 3]), 3: (0, [5, 6])}.items():
        runner.add(slot, prompt)
        assert made.add_request(slot, params(key) if key else PLAIN) is bool(key)
    for step in range(90):
        slots = [0, 2, 3] if step % 2 else [3, 0, 2]
        runner.step(made, torch.randn(3, VOCABULARY) * 1.5, slots, PLAIN)
    detector = Detector(Vllm(), np.array(KEYS, np.uint64)[:, np.newaxis])
    for slot, key in ((0, 11), (2, 12), (3, 0)):
        text = runner.tokens[slot, runner.prompt_len[slot] : runner.total[slot]].tolist()
        marked = [owner for owner, p in zip(KEYS, detector.log_p(text).tolist(), strict=True) if p < np.log(1e-9)]
        assert marked == ([key] if key else [])


def test_a_prompt_that_is_read_in_pieces_is_not_drawn_for(kind: type[vllm.V2]):
    runner = V2Runner(1, 50, VOCABULARY)
    made = kind(CONFIG, runner.states)
    runner.add(0, [1, 2, 3, 4, 5, 6])
    made.add_request(0, params(11))
    logits = torch.randn(1, VOCABULARY)
    ids = torch.tensor([0])
    context = vllm.LogitsContext(ids, ids, np.array([0]), ids, ids, ids, np.array([3]))
    assert torch.equal(made.apply(logits.clone(), context), logits)


def test_a_slot_that_is_used_again_forgets(kind: type[vllm.V2]):
    runner = V2Runner(1, 50, VOCABULARY)
    made = kind(CONFIG, runner.states)
    runner.add(0, [1])
    assert made.add_request(0, params(11))
    assert not made.add_request(0, PLAIN)
    logits = torch.randn(1, VOCABULARY)
    ids = torch.tensor([0])
    assert torch.equal(
        made.apply(logits.clone(), vllm.LogitsContext(ids, ids, np.array([0]), ids, ids, ids, np.array([1]))), logits
    )


def test_speculative_decoding_is_refused(kind: type[vllm.V2]):
    with pytest.raises(ValueError, match="speculative"):
        kind(SimpleNamespace(speculative_config=object()), V2Runner(1, 5, 5).states)


def test_no_class_registers_itself_as_a_plugin():
    assert [plugin for plugin in entry_points(group="vllm.logits_processors") if "watermark" in plugin.value] == []
