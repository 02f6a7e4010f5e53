"""vLLM's two logits-processor interfaces as recorded from vLLM 0.32.0: the names, what is called with what, and when.

vLLM itself needs hundreds of megabytes and packages of its own versions, so it is not installed with the tests.
"""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum, auto
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch


@dataclass
class SamplingParams:
    """What a request asks for; `extra_args` is its `vllm_xargs`."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    extra_args: dict[str, Any] | None = None
    structured_outputs: object = None


class MoveDirectionality(Enum):
    """One way, or both places exchanged."""

    UNIDIRECTIONAL = auto()
    SWAP = auto()


@dataclass(frozen=True)
class BatchUpdate:
    """What became of a batch: to be followed in the order removed, added, moved."""

    batch_size: int
    removed: list[int] = field(default_factory=list)
    added: list[tuple[int, SamplingParams, list[int] | None, list[int]]] = field(default_factory=list)
    moved: list[tuple[int, int, MoveDirectionality]] = field(default_factory=list)


class V1(ABC):
    """The V1 runner's base class."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        return None

    @abstractmethod
    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None: ...

    @abstractmethod
    def apply(self, logits: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def is_argmax_invariant(self) -> bool: ...

    @abstractmethod
    def update_state(self, batch_update: BatchUpdate | None) -> None: ...


@dataclass(frozen=True)
class LogitsProcRequestState:
    """The V2 runner's buffers, by slot."""

    device: torch.device
    max_num_reqs: int
    vocab_size: int
    all_token_ids: Any
    prompt_len: Any
    prefill_len: Any
    total_len: Any


@dataclass(frozen=True)
class LogitsContext:
    """A step's layout: rows to slots."""

    expanded_idx_mapping: torch.Tensor
    idx_mapping: torch.Tensor
    idx_mapping_np: np.ndarray
    expanded_local_pos: torch.Tensor
    input_ids: torch.Tensor
    pos: torch.Tensor
    seq_lens_upper_bound_np: np.ndarray


class V2(ABC):
    """The V2 runner's base class."""

    def __init__(self, vllm_config: Any, req_states: LogitsProcRequestState) -> None:
        return None

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        return None

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        return True

    def apply_staged_writes(self) -> None:
        return None

    @abstractmethod
    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor: ...


CONFIG = SimpleNamespace(speculative_config=None)
V1_PLACE, V2_PLACE = "vllm.v1.sample.logits_processor", "vllm.v1.worker.gpu.sample.logits_processor"
NAMES = {
    V1_PLACE: {"LogitsProcessor": V1, "BatchUpdate": BatchUpdate, "MoveDirectionality": MoveDirectionality},
    V2_PLACE: {
        "LogitsProcessor": V2,
        "LogitsContext": LogitsContext,
        "LogitsProcRequestState": LogitsProcRequestState,
    },
}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `import vllm…` find the recorded interfaces until the test ends."""
    for place in NAMES:
        parts = place.split(".")
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    for place, names in NAMES.items():
        for name, value in names.items():
            setattr(sys.modules[place], name, value)
    for module in ("watermark.engines.vllm_v1", "watermark.engines.vllm_v2"):
        monkeypatch.delitem(sys.modules, module, raising=False)


class V2Runner:
    """The V2 runner's part in sampling: slots, rows that change places, tokens kept on the device alone."""

    def __init__(self, slots: int, length: int, vocabulary: int) -> None:
        self.tokens = torch.zeros((slots, length), dtype=torch.int32)
        self.prompt_len = np.zeros(slots, np.int32)
        self.total = np.zeros(slots, np.int64)
        self.states = LogitsProcRequestState(
            device=torch.device("cpu"),
            max_num_reqs=slots,
            vocab_size=vocabulary,
            all_token_ids=SimpleNamespace(gpu=self.tokens),
            prompt_len=SimpleNamespace(np=self.prompt_len),
            prefill_len=SimpleNamespace(np=self.prompt_len),
            total_len=SimpleNamespace(gpu=torch.zeros(slots, dtype=torch.int32)),
        )

    def add(self, slot: int, prompt: list[int]) -> None:
        """A request's prompt, into its slot."""
        self.tokens[slot, : len(prompt)] = torch.tensor(prompt)
        self.prompt_len[slot] = self.total[slot] = len(prompt)

    def step(self, processor: V2, logits: torch.Tensor, slots: list[int], params: SamplingParams) -> list[int]:
        """One token for each slot: the processor, then temperature and a draw."""
        mapping = np.array(slots)
        context = LogitsContext(
            torch.tensor(slots), torch.tensor(slots), mapping, torch.zeros(len(slots)), torch.zeros(len(slots)),
            torch.tensor(self.total[mapping] - 1), self.total[mapping],
        )  # fmt: skip
        drawn = sample(processor.apply(logits.clone(), context), params)
        for slot, token in zip(slots, drawn, strict=True):
            self.tokens[slot, self.total[slot]] = token
            self.total[slot] += 1
        return drawn


def sample(logits: torch.Tensor, params: SamplingParams) -> list[int]:
    """What comes behind processors in either runner, for one token a row."""
    return torch.multinomial(torch.softmax(logits / params.temperature, dim=-1), 1)[:, 0].tolist()
