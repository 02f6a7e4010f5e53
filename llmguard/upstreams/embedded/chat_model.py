"""The chat model, loaded: a tokenizer and a Llama, from the cache, which is filled where it is empty."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from llmguard.upstreams.embedded.chatml import DOCUMENT_END, END, START
from llmguard.upstreams.embedded.llama import Config, Llama
from llmguard.upstreams.embedded.packages import TOKENIZER
from llmguard.upstreams.embedded.text import byte_of_symbol

WEIGHTS, MANIFEST = "weights.safetensors", "config.json"


class Manifest(msgspec.Struct, frozen=True):
    """What a cached model is; `digests` of its files, so that a damaged one is noticed."""

    config: Config
    markers: frozenset[int]
    digests: dict[str, str]


@dataclass(frozen=True, slots=True)
class Parts:
    """A converted model before it is put to use."""

    config: Config
    markers: frozenset[int]
    weights: dict[str, Tensor]
    tokenizer: Tokenizer


class ChatModel:
    """What generation needs of a model."""

    def __init__(self, parts: Parts) -> None:
        self.llama = Llama(parts.config, parts.weights)
        self.context = parts.config.context
        self.vocabulary = parts.config.vocabulary
        self._tokenizer = parts.tokenizer
        self._markers = parts.markers
        self._bytes = byte_of_symbol()
        self.ends = frozenset(self.marker(name) for name in (START, END, DOCUMENT_END))
        """The tokens that end an answer: a new message's beginning ends it, too."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, in which a marker is just text."""
        return self._tokenizer.encode(text).ids

    def marker(self, name: str) -> int:
        """The id of a control token."""
        found = self._tokenizer.token_to_id(name)
        if found not in self._markers:
            raise ValueError(f"{name} is no control token of this model")
        return found

    def text_of(self, token: int) -> bytes:
        """A token's bytes; a control token has none."""
        if token in self._markers:
            return b""
        return bytes(self._bytes[symbol] for symbol in self._tokenizer.id_to_token(token) or "")


def load(directory: Path, convert: Callable[[], Parts]) -> ChatModel:
    """The model in `directory`; where it is missing or damaged, it is converted and kept there first."""
    try:
        return ChatModel(_read(directory))
    except (OSError, ValueError, msgspec.MsgspecError, SafetensorError):
        parts = convert()
        _keep(directory, parts)
        return ChatModel(parts)


def _read(directory: Path) -> Parts:
    """The parts as kept; raises one of the errors above unless every byte is as it was written."""
    manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    for name in (WEIGHTS, TOKENIZER):
        if _digest(directory / name) != manifest.digests.get(name):
            raise ValueError(f"{name} is damaged")
    return Parts(
        config=manifest.config,
        markers=manifest.markers,
        weights=load_file(directory / WEIGHTS),
        tokenizer=Tokenizer.from_file(str(directory / TOKENIZER)),
    )


def _keep(directory: Path, parts: Parts) -> None:
    """Write beside, then rename: what stands in `directory` is whole or absent."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".converting-") as name:
        fresh = Path(name) / "model"
        fresh.mkdir()
        save_file(parts.weights, fresh / WEIGHTS)
        parts.tokenizer.save(str(fresh / TOKENIZER))
        digests = {file: _digest(fresh / file) for file in (WEIGHTS, TOKENIZER)}
        manifest = Manifest(parts.config, parts.markers, digests)
        (fresh / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        shutil.rmtree(directory, ignore_errors=True)
        try:
            fresh.rename(directory)
        except FileExistsError:
            return  # Another process converted the same file meanwhile; its copy is as good.


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
