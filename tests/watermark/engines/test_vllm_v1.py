"""The V1 interface, as recorded: an answer is followed through a batch that changes, and its text bears its mark."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.fakes import vllm
from tests.fakes.vllm import CONFIG, BatchUpdate, MoveDirectionality, SamplingParams
from watermark.detector import Detector
from watermark.engines.vllm_field import FIELD, word
from watermark.schemes.gumbel import Vllm

VOCABULARY, KEYS = 500, (11, 12)
CPU = torch.device("cpu")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> vllm.V1:
    vllm.install(monkeypatch)
    from watermark.engines.vllm_v1 import Marking

    return Marking(CONFIG, CPU, False)


def params(key: int) -> SamplingParams:
    return SamplingParams(temperature=0.9, top_p=0.95, extra_args={FIELD: word(key, 4)})


def log_p(tokens: list[int]) -> np.ndarray:
    return Detector(Vllm(), np.array(KEYS, np.uint64)[:, np.newaxis]).log_p(tokens)


def test_answers_are_marked_each_under_its_own_key_while_the_batch_changes(made: vllm.V1):
    torch.manual_seed(1)
    rows: dict[int, tuple[int, list[int]]] = {0: (11, []), 1: (0, []), 2: (12, [])}
    made.update_state(BatchUpdate(3, added=[(0, params(11), [1], rows[0][1]), (1, SamplingParams(), [1], rows[1][1]),
                                            (2, params(12), [1], rows[2][1])]))  # fmt: skip
    moves = {20: [(0, 2, MoveDirectionality.SWAP)], 40: [(2, 3, MoveDirectionality.UNIDIRECTIONAL)]}
    for step in range(90):
        made.update_state(BatchUpdate(3, moved=moves[step]) if step in moves else None)
        for first, second, direction in moves.get(step, []):
            moving, other = rows.pop(first), rows.pop(second, None)
            rows[second] = moving
            if direction == MoveDirectionality.SWAP and other is not None:
                rows[first] = other
        logits = torch.randn(4, VOCABULARY) * 1.5
        drawn = vllm.sample(made.apply(logits), params(0))
        for row, (_, output) in rows.items():
            output.append(drawn[row])
    for key, output in rows.values():
        mine = dict(zip(KEYS, log_p(output).tolist(), strict=True))
        assert all((p < np.log(1e-9)) == (owner == key) for owner, p in mine.items()), (key, mine)


def test_tokens_that_are_not_known_yet_mark_nothing(made: vllm.V1, monkeypatch: pytest.MonkeyPatch):
    output: list[int] = []
    made.update_state(BatchUpdate(1, added=[(0, params(11), None, output)]))
    truth = []
    for _ in range(120):
        truth += vllm.sample(made.apply(torch.randn(1, VOCABULARY) * 1.5), params(0))
        output.append(-1)
    assert log_p(truth)[0] > np.log(1e-4)


def test_what_left_the_batch_is_forgotten_and_others_rows_are_not_touched(made: vllm.V1):
    made.update_state(BatchUpdate(2, added=[(0, params(11), [1], []), (1, params(12), [1], [])]))
    made.update_state(BatchUpdate(1, removed=[0]))
    made.update_state(BatchUpdate(2, added=[(1, SamplingParams(), [1], [])]))
    logits = torch.randn(2, VOCABULARY)
    assert torch.equal(made.apply(logits.clone()), logits)


def test_it_is_not_argmax_invariant_and_refuses_what_it_cannot_do(made: vllm.V1):
    assert not made.is_argmax_invariant()
    with pytest.raises(ValueError, match="speculative"):
        type(made)(SimpleNamespace(speculative_config=object()), CPU, False)
    with pytest.raises(ValueError, match=FIELD):
        made.validate_params(SamplingParams(extra_args={FIELD: "no"}))
    assert made.validate_params(SamplingParams()) is None
