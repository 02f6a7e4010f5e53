"""Where the tokenizers lie that settings name: files alone, nothing is fetched."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

ENCODINGS: Final = {
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
}
"""Encodings of tiktoken, and the names under which it caches their files: digests of their public addresses."""
SHIPS: Final = "litellm"
"""The package that carries those files."""


def shipped(encoding: str) -> Path | None:
    """The file of an encoding, in an installed package that is not imported."""
    spec = find_spec(SHIPS)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place) / "litellm_core_utils" / "tokenizers" / ENCODINGS[encoding]
        if path.is_file():
            return path
    return None


def missing(name: str) -> str | None:
    """Why a tokenizer of this name cannot be loaded; None where its file is there."""
    if name in ENCODINGS:
        return None if shipped(name) else f"is in no installed package: pip install 'llmguard[{SHIPS}]'"
    return None if Path(name).is_file() else f"is no file, and no encoding: {', '.join(ENCODINGS)}"
