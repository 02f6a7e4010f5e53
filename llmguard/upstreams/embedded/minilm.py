"""all-MiniLM-L6-v2, forward only, in plain torch: what sentence-transformers computes, without its import."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from llmguard.upstreams.embedded import threads
from llmguard.upstreams.embedded.sentences import LONGEST, tokenizer

LAYERS, HEADS, EPSILON = 6, 12, 1e-12
BATCH = 16
"""Texts of like length at a time, so that little is padded and nobody waits long for a batch of another's."""
PARTS = ("query", "key", "value")
UNKNOWN, FIRST, LAST = 100, 101, 102
"""Ids of BERT's [UNK], [CLS] and [SEP]."""


class MiniLM:
    """Sentence vectors of 384 dimensions.

    Where the processor multiplies matrices of bfloat16 by itself (AMX), products are of those: less than half the time,
    for vectors whose cosine with the exact ones is 0.9999 or more. Elsewhere everything is float32.
    """

    def __init__(self, directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}.attention.self"
            for kind in ("weight", "bias"):  # three products in one
                weights[f"{name}.{kind}"] = torch.cat([weights.pop(f"{name}.{part}.{kind}") for part in PARTS])
        factors = torch.bfloat16 if torch.cpu.get_capabilities().get("amx_bf16") else torch.float32
        self._weights = {
            name: weight if name.startswith("embeddings") or "LayerNorm" in name else weight.to(factors)
            for name, weight in weights.items()
        }
        self._tokenizer = tokenizer(directory)
        self._tokenizer.enable_padding()

    def batches(self, texts: Sequence[str]) -> Iterator[list[tuple[int, tuple[float, ...]]]]:
        """A batch a step: the texts' indexes and their vectors, of L2 norm 1.

        Longest first, so that texts of like length share a batch and little is padded.
        """
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors = self._vectors([texts[index] for index in batch]).tolist()
            yield [(index, tuple(vector)) for index, vector in zip(batch, vectors, strict=True)]

    def of_ids(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """[texts, 384] of texts as the ids of their pieces; one that is not in the vocabulary counts as unknown."""
        threads.use(threads.TEXT)
        size = len(self._weights["embeddings.word_embeddings.weight"])
        rows = [[FIRST, *(id if id < size else UNKNOWN for id in ids[: LONGEST - 2]), LAST] for ids in texts]
        width = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        found: NDArray[np.float32] = self._pooled(tokens, mask).numpy()
        return found

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        """[texts, 384]: the mean of the last layer over a text's tokens, normalised."""
        threads.use(threads.SENTENCES)
        encoded = self._tokenizer.encode_batch(texts)
        tokens = torch.tensor([one.ids for one in encoded])
        mask = torch.tensor([one.attention_mask for one in encoded])
        return self._pooled(tokens, mask)

    @torch.inference_mode()
    def _pooled(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """[texts, 384] of tokens and their mask, both [texts, longest]."""
        weights = self._weights
        x = (
            weights["embeddings.word_embeddings.weight"][tokens]
            + weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._normed(x, "embeddings.LayerNorm")
        seen = mask.bool()[:, None, None, :]
        for index in range(LAYERS):
            x = self._layer(x, seen, f"encoder.layer.{index}.")
        counted = mask.unsqueeze(-1).float()
        return F.normalize((x * counted).sum(1) / counted.sum(1), dim=-1)

    def _layer(self, x: Tensor, seen: Tensor, name: str) -> Tensor:
        """One BERT block over [texts, tokens, 384]."""
        parts = self._linear(x, f"{name}attention.self").view(*x.shape[:2], len(PARTS), HEADS, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        attended = self._linear(attended.transpose(1, 2).flatten(2), f"{name}attention.output.dense")
        x = self._normed(x + attended, f"{name}attention.output.LayerNorm")
        inner = F.gelu(self._linear(x, f"{name}intermediate.dense"))
        return self._normed(x + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.linear(x.to(weight.dtype), weight, bias)

    def _normed(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, EPSILON)
