"""For vLLM's V1 model runner: `--logits-processors watermark.engines.vllm_v1:Marking`.

It is not registered in the group `vllm.logits_processors`: the V2 runner refuses a V1 class there, and does not start.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from watermark.engines.answers import Answer, leave_one
from watermark.engines.vllm_request import answer

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig


class Marking(LogitsProcessor):  # type: ignore[misc]  # vLLM is not there when types are checked
    """Marks each answer whose request brings a key, and leaves the others alone.

    It runs ahead of temperature, top-k and top-p, so it applies the request's own and leaves one token. A token that
    the engine schedules ahead stands as -1 in the output: nothing is marked before it is known. Raises ValueError
    with speculative decoding, whose drafts it does not see.
    """

    def __init__(self, vllm_config: "VllmConfig", device: torch.device, is_pin_memory: bool) -> None:
        if vllm_config.speculative_config is not None:
            raise ValueError("llmguard's marks and speculative decoding do not go together")
        self._generator = np.random.default_rng()
        self._answers: dict[int, tuple[Answer, list[int]]] = {}

    @classmethod
    def validate_params(cls, sampling_params: "SamplingParams") -> None:
        """Refuse a word that is none of ours; raises ValueError."""
        answer(sampling_params, np.random.default_rng())

    def is_argmax_invariant(self) -> bool:
        """No: the token that is left is seldom the likeliest."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the batch: what left it, what came, what moved, in this order."""
        if batch_update is None:
            return
        for index in batch_update.removed:
            self._answers.pop(index, None)
        for index, params, _, output in batch_update.added:
            self._set(index, self._new(params, output))
        for first, second, direction in batch_update.moved:
            moving, other = self._answers.pop(first, None), self._answers.pop(second, None)
            self._set(second, moving)
            if direction == MoveDirectionality.SWAP:
                self._set(first, other)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Leave one token to each answer that is marked."""
        rows = sorted(self._answers)
        held = [self._answers[row] for row in rows]
        contexts = [output[-one.width :] for one, output in held]
        return leave_one(logits, rows, [one for one, _ in held], contexts)

    def _new(self, params: Any, output: list[int]) -> tuple[Answer, list[int]] | None:
        found = answer(params, self._generator)
        # vLLM appends to this very list.
        return None if found is None else (found, output)

    def _set(self, index: int, held: tuple[Answer, list[int]] | None) -> None:
        self._answers.pop(index, None)
        if held is not None:
            self._answers[index] = held
