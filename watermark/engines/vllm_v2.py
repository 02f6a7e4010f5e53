"""For vLLM's V2 model runner: `--logits-processors watermark.engines.vllm_v2:Marking`.

A class of its own, since either runner refuses the other's. It is not registered as a plugin: see `vllm_v1`.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcessor, LogitsProcRequestState

from watermark.engines.answers import Answer, leave_one
from watermark.engines.vllm_request import answer

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.config import VllmConfig


class Marking(LogitsProcessor):  # type: ignore[misc]  # vLLM is not there when types are checked
    """Marks each answer whose request brings a key, and leaves the others alone.

    `apply` runs ahead of temperature, top-k and top-p, so it applies the request's own and leaves one token. Rows
    change places every step; an answer is known by its slot. Raises ValueError with speculative decoding.
    """

    def __init__(self, vllm_config: "VllmConfig", req_states: LogitsProcRequestState) -> None:
        if vllm_config.speculative_config is not None:
            raise ValueError("llmguard's marks and speculative decoding do not go together")
        self._generator = np.random.default_rng()
        self._states = req_states
        self._answers: dict[int, Answer] = {}

    @classmethod
    def validate_params(cls, sampling_params: "SamplingParams") -> None:
        """Refuse a word that is none of ours; raises ValueError."""
        answer(sampling_params, np.random.default_rng())

    def add_request(self, req_idx: int, sampling_params: "SamplingParams") -> bool:
        """Whether the answer in this slot is marked; what the slot held before is forgotten."""
        self._answers.pop(req_idx, None)
        found = answer(sampling_params, self._generator)
        if found is not None:
            self._answers[req_idx] = found
        return found is not None

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Leave one token to each answer that is marked and whose prompt has been read."""
        places = [
            (row, slot, length)
            for row, (slot, length) in enumerate(
                zip(ctx.idx_mapping_np.tolist(), ctx.seq_lens_upper_bound_np.tolist(), strict=False)
            )
            # A prompt that is read in pieces: what is sampled of it meanwhile is thrown away.
            if slot in self._answers and length >= int(self._states.prefill_len.np[slot])
        ]
        answers = [self._answers[slot] for _, slot, _ in places]
        return leave_one(logits, [row for row, _, _ in places], answers, self._contexts(places, answers))

    def _contexts(self, places: list[tuple[int, int, int]], answers: list[Answer]) -> list[list[int]]:
        """Each answer's own last tokens, as far as there are any: one copy from the device for all."""
        if not places:
            return []
        width = max(one.width for one in answers)
        device = self._states.all_token_ids.gpu.device
        slots = torch.tensor([slot for _, slot, _ in places], device=device)[:, None]
        ends = torch.tensor([length for _, _, length in places], device=device)[:, None]
        back = (ends + torch.arange(-width, 0, device=device)).clamp_(min=0)
        tokens = self._states.all_token_ids.gpu[slots, back].tolist()
        own = [length - int(self._states.prompt_len.np[slot]) for _, slot, length in places]
        return [row[width - min(count, one.width) :] for row, count, one in zip(tokens, own, answers, strict=True)]
