"""Weight matrices in the precisions that the embedded models use, and their products.

torch has fast CPU kernels for few rows of int4 and int8 weights under names with an
underscore; torch is pinned, and the tests compare each with float32.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

GROUP = 32
"""Neighbouring inputs that share a scale in int4: a block of GGUF's Q4_1."""

LIKELY = 256
"""How many of the largest logits are computed exactly."""

TILE = 8
"""The kernel's inner loop, in which the nibbles are packed."""


class Matrix(Protocol):
    """A weight [outputs, inputs]. `dtype` is that of what it is multiplied with."""

    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """`x` [rows, inputs] times the transpose: [rows, outputs]."""
        ...


class Dense:
    """float32 as it is: the reference."""

    dtype = torch.float32

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        """The plain product."""
        return F.linear(x, self._weight)

    def rows(self, index: Tensor) -> Tensor:
        """The rows at `index`."""
        return self._weight[index]

    def logits(self, x: Tensor) -> Tensor:
        """The product."""
        return self(x)


class Int8:
    """int8 with a bfloat16 scale a row: |error| <= scale / 2."""

    dtype = torch.bfloat16

    def __init__(self, steps: Tensor, scale: Tensor) -> None:
        self._steps, self._scale = steps, scale

    def __call__(self, x: Tensor) -> Tensor:
        """The product in bfloat16."""
        return torch._weight_int8pack_mm(x, self._steps, self._scale)

    def rows(self, index: Tensor) -> Tensor:
        """The rows at `index`, in float32."""
        return self._steps[index].float() * self._scale[index].float().unsqueeze(-1)

    def logits(self, x: Tensor) -> Tensor:
        """The product with `x` [rows, inputs] of float32, exact to float32 for each row's largest.

        bfloat16 tells logits apart to an eighth only, which makes ties of the likeliest tokens
        and distorts their probabilities by some per cent. So those are computed once more.
        """
        coarse = self(x.to(self.dtype)).float()
        likely = coarse.topk(min(LIKELY, coarse.shape[1])).indices
        exact = (self.rows(likely) @ x.unsqueeze(-1)).squeeze(-1)
        return coarse.scatter_(1, likely, exact)


class Int4:
    """Four bits, with a bfloat16 scale and middle for each group of inputs.

    Takes steps uint8 [outputs, inputs] in 0..15 and groups [inputs / 32, outputs, 2]:
    weight = (step - 8) * group[0] + group[1]. Packed here and not in the cache, because
    how depends on the processor.
    """

    dtype = torch.bfloat16

    def __init__(self, steps: Tensor, groups: Tensor) -> None:
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(steps.to(torch.int32), TILE)
        self._groups = groups

    def __call__(self, x: Tensor) -> Tensor:
        """The product in bfloat16."""
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x, self._packed, GROUP, self._groups)
        return found


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """What Int8 takes; the scale is a row's largest magnitude / 127."""
    scale = (weight.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny).bfloat16()
    steps = (weight / scale.float().unsqueeze(1)).round().clamp(-127, 127)
    return steps.to(torch.int8), scale


def to_int4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """What Int4 takes; a group's least and largest weight are its steps 0 and 15.

    A weight that comes from Q4_1 keeps its steps, so that only the rounding of the scale
    and the middle to bfloat16 is lost.
    """
    grouped = weight.view(weight.shape[0], -1, GROUP)
    least, most = grouped.amin(dim=-1), grouped.amax(dim=-1)
    scale = ((most - least) / 15).clamp(min=torch.finfo(torch.float32).tiny)
    steps = ((grouped - least.unsqueeze(-1)) / scale.unsqueeze(-1)).round().clamp(0, 15)
    groups = torch.stack([scale, least + 8 * scale], dim=-1).transpose(0, 1).contiguous().bfloat16()
    return steps.to(torch.uint8).view(weight.shape), groups
