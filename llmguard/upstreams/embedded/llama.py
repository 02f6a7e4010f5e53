"""The Llama architecture, forward only, in plain torch.

transformers' LlamaForCausalLM spends most of a token's time in Python and takes seconds to
import; this gives the same logits (the tests compare them) in a fraction of the time.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from llmguard.upstreams.embedded import threads
from llmguard.upstreams.embedded.matrix import Dense, Int4, Int8, Matrix


@dataclass(frozen=True, slots=True)
class Config:
    """The model's dimensions. `context` is the most positions, in tokens."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    rope_base: float
    epsilon: float


@dataclass(frozen=True, slots=True)
class Layer:
    """One block's weights; `qkv` and `gate_up` are stacked along their outputs."""

    attention_norm: Tensor
    qkv: Matrix
    output: Matrix
    mlp_norm: Tensor
    gate_up: Matrix
    down: Matrix


class Cache:
    """Keys and values of the positions seen: [layers, rows, kv_heads, positions, head_dim] each."""

    def __init__(self, keys: Tensor, values: Tensor, length: int) -> None:
        self.keys = keys
        self.values = values
        self.length = length

    def repeated(self, rows: int) -> "Cache":
        """`rows` copies of a cache of one row, for choices that share a prompt."""
        shape = (-1, rows, -1, -1, -1)
        return Cache(self.keys.expand(shape).clone(), self.values.expand(shape).clone(), self.length)

    def kept(self, rows: list[int]) -> "Cache":
        """The cache of these rows only."""
        return Cache(self.keys[:, rows], self.values[:, rows], self.length)


class Llama:
    """A Llama of given weights.

    `weights` has `embedding`, `norm`, and for each layer `{i}.attention_norm`, `{i}.qkv`,
    `{i}.output`, `{i}.mlp_norm`, `{i}.gate_up`, `{i}.down`. The embedding may be int8, with
    its scale as `embedding.scale`, and the layers' matrices int4, with `{name}.groups`. The
    rotary pairs of queries and keys are adjacent, as in GGUF, and the embedding is also the
    head.
    """

    def __init__(self, config: Config, weights: dict[str, Tensor]) -> None:
        def matrix(name: str) -> Matrix:
            groups = weights.get(f"{name}.groups")
            return Dense(weights[name]) if groups is None else Int4(weights[name], groups)

        self.config = config
        embedding, scale = weights["embedding"], weights.get("embedding.scale")
        self._embedding = Dense(embedding) if scale is None else Int8(embedding, scale)
        self._norm = weights["norm"]
        self._layers = [
            Layer(
                attention_norm=weights[f"{i}.attention_norm"],
                qkv=matrix(f"{i}.qkv"),
                output=matrix(f"{i}.output"),
                mlp_norm=weights[f"{i}.mlp_norm"],
                gate_up=matrix(f"{i}.gate_up"),
                down=matrix(f"{i}.down"),
            )
            for i in range(config.layers)
        ]
        self._dtype = self._layers[0].qkv.dtype
        half = config.head_dim // 2
        frequencies = config.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
        angles = torch.outer(torch.arange(config.context, dtype=torch.float64), frequencies)
        self._rotations = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)

    def cache(self, positions: int) -> Cache:
        """An empty cache of one row with room for `positions`."""
        shape = (self.config.layers, 1, self.config.kv_heads, positions, self.config.head_dim)
        return Cache(torch.zeros(shape, dtype=self._dtype), torch.zeros(shape, dtype=self._dtype), 0)

    @torch.inference_mode()
    def forward(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Read `tokens` [rows, steps] behind what the cache holds; logits [rows, vocabulary], float32.

        The logits are those after the last step. f(a then b) = f(a + b), up to rounding.
        """
        rows, steps = tokens.shape
        threads.use(threads.TOKEN if steps == 1 else threads.TEXT)
        x = self._embedding.rows(tokens.reshape(-1))
        rotation = self._rotations[cache.length : cache.length + steps].view(1, steps, 1, -1)
        mask = None
        if steps > 1:
            mask = torch.ones(steps, cache.length + steps, dtype=torch.bool).tril_(cache.length)
        for index, layer in enumerate(self._layers):
            # The residual stream stays float32; only what is multiplied is rounded.
            h = self._normed(x, layer.attention_norm).to(self._dtype)
            attended = self._attend(layer.qkv(h), rows, rotation, mask, cache, index)
            x += layer.output(attended)
            gate, up = layer.gate_up(self._normed(x, layer.mlp_norm).to(self._dtype)).chunk(2, dim=-1)
            x += layer.down(F.silu(gate) * up)
        cache.length += steps
        last = x.view(rows, steps, -1)[:, -1]
        return self._embedding.logits(self._normed(last, self._norm))

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.config.hidden,), weight, self.config.epsilon)

    def _attend(
        self, qkv: Tensor, rows: int, rotation: Tensor, mask: Tensor | None, cache: Cache, layer: int
    ) -> Tensor:
        """Grouped-query attention over the cache and these steps: [rows * steps, heads * head_dim]."""
        c = self.config
        steps = rotation.shape[1]
        heads = qkv.view(rows, steps, c.heads + 2 * c.kv_heads, c.head_dim)
        rotated = heads[:, :, : c.heads + c.kv_heads].float().view(rows, steps, c.heads + c.kv_heads, -1, 2)
        turned = torch.view_as_real(torch.view_as_complex(rotated) * rotation).flatten(-2).to(self._dtype)
        end = cache.length + steps
        keys, values = cache.keys[layer], cache.values[layer]
        keys[:, :, cache.length : end] = turned[:, :, c.heads :].transpose(1, 2)
        values[:, :, cache.length : end] = heads[:, :, c.heads + c.kv_heads :].transpose(1, 2)
        keys, values = keys[:, :, :end], values[:, :, :end]
        if steps == 1:
            # A group's heads stand as steps of its one key head, so nothing is repeated.
            query = turned[:, 0, : c.heads].view(rows, c.kv_heads, -1, c.head_dim)
            return F.scaled_dot_product_attention(query, keys, values).reshape(rows, -1)
        query = turned[:, :, : c.heads].transpose(1, 2)
        found = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, enable_gqa=True)
        return found.transpose(1, 2).reshape(rows * steps, -1)
