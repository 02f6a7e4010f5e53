"""The tokenizer of a GGUF file, written to standard output as JSON.

A process of its own: the reader makes an array of every token and merge, 200 MB that its caller need not hold.
"""

import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

PRETOKENIZERS = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]


def written(path: Path) -> str:
    """The byte-level BPE of a GGUF file as `tokenizer.json`; raises ValueError with a sentence.

    What the library finds wrong with its merges it raises as a bare `Exception`.
    """
    # An optional dependency, needed for these files alone.
    try:
        from gguf import GGUFReader  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ValueError("a GGUF file needs the package gguf: pip install 'llmguard[embedded]'") from error
    try:
        fields = GGUFReader(path).fields
        tokens, merges = (fields[f"tokenizer.ggml.{part}"].contents() for part in ("tokens", "merges"))
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise ValueError(f"{path.name} holds no byte-level BPE: {error}") from error
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(BPE(vocabulary, [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PRETOKENIZERS)
    tokenizer.decoder = decoders.ByteLevel()
    return str(tokenizer.to_str(pretty=True))


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(written(Path(sys.argv[1])).encode())
    except ValueError as refusal:
        sys.exit(str(refusal))
