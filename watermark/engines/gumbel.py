"""Gumbel-max over a batch of logits, on the device where they are: each row under its own key and context.

The same numbers as `watermark.prf.philox`, in PyTorch's operations: a batch of large vocabularies is not copied to
the host.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from watermark.prf import philox

MASK = 0xFFFFFFFF
STEP = float(philox.STEP)


@dataclass(frozen=True, slots=True)
class Warping:
    """What a request makes of logits; the neutral values leave them as they are. The temperature is above 0."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0


def distribution(logits: torch.Tensor, warpings: Sequence[Warping]) -> torch.Tensor:
    """Probabilities [rows, vocabulary] of logits, each row's cut by its own warping: min_p, then top-k, then top-p.

    The nucleus is the smallest set of the likeliest tokens whose probability reaches `top_p`; it is never empty.
    """
    temperature, top_p, min_p = (
        torch.tensor([getattr(each, name) for each in warpings], dtype=torch.float64, device=logits.device)[:, None]
        for name in ("temperature", "top_p", "min_p")
    )
    found = torch.softmax(logits.double() / temperature, dim=-1)
    found = torch.where(found < min_p * found.amax(dim=-1, keepdim=True), 0.0, found)
    if all(each.top_k < 1 and each.top_p >= 1 for each in warpings):
        return found / found.sum(dim=-1, keepdim=True)
    size = logits.shape[-1]
    top_k = torch.tensor([each.top_k if each.top_k > 0 else size for each in warpings], device=logits.device)[:, None]
    ordered, places = torch.sort(found, dim=-1, descending=True, stable=True)
    ordered = torch.where(torch.arange(size, device=logits.device) >= top_k, 0.0, ordered)
    ordered /= ordered.sum(dim=-1, keepdim=True)
    ordered = torch.where(torch.cumsum(ordered, dim=-1) - ordered >= top_p, 0.0, ordered)
    ordered /= ordered.sum(dim=-1, keepdim=True)
    return torch.zeros_like(found).scatter_(-1, places, ordered)


def uniforms(keys: Sequence[int], states: Sequence[philox.State], size: int, device: torch.device) -> torch.Tensor:
    """The uniforms [rows, size] of the tokens 0 … size - 1, a row for each key and state; float32, as vLLM's."""
    columns = np.array([[int(word[0]) for word in state] for state in states], np.int64)
    s0, s1, s2, s3 = (torch.from_numpy(column.copy()).to(device)[:, None] for column in columns.T)
    low = torch.tensor([key & MASK for key in keys], device=device)[:, None] ^ s3
    high = torch.tensor([key >> 32 ^ int(philox.TOKEN_TAG) for key in keys], device=device)[:, None]
    x0 = torch.arange(-(-size // philox.BLOCK), device=device)[None].expand(len(keys), -1)
    x1, x2, x3 = s0.expand_as(x0), s1.expand_as(x0), s2.expand_as(x0)
    for turn in range(philox.ROUNDS):
        # A product of 64 bits wraps into the sign, and its two halves are the same nonetheless.
        wide0, wide1 = x0 * int(philox.M0), x2 * int(philox.M1)
        low_key, high_key = low + turn * philox.W0 & MASK, high + turn * philox.W1 & MASK
        x0, x2 = (wide1 >> 32 & MASK) ^ x1 ^ low_key, (wide0 >> 32 & MASK) ^ x3 ^ high_key
        x1, x3 = wide1 & MASK, wide0 & MASK
    words = torch.stack([x0, x1, x2, x3], dim=-1).reshape(len(keys), -1)[:, :size]
    return ((words >> int(philox.DROPPED)).to(torch.float32) + 1) * STEP


def drawn(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """argmax log w - log(-log u) of each row: [rows]."""
    return torch.argmin(torch.where(weights > 0, -torch.log(uniform.double()) / weights, torch.inf), dim=-1)
