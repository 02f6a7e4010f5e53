"""The models that the packages carry, and what they do for a request."""

from collections.abc import Iterator
from pathlib import Path

from llmguard.upstreams.embedded import chat_model, sentences
from llmguard.upstreams.embedded.chat_model import Parts
from llmguard.upstreams.embedded.frames import Embed, Generate, Reply, Request, Vectors
from llmguard.upstreams.embedded.generation import generate
from llmguard.upstreams.embedded.minilm import MiniLM
from llmguard.upstreams.embedded.packages import cache_name, chat_gguf


class Models:
    """The chat model, loaded at once, and the embedding model, loaded when first used."""

    def __init__(self, cache: Path) -> None:
        gguf = chat_gguf()
        self._minilm_at = sentences.directory()
        self._minilm: MiniLM | None = None
        self.chat = chat_model.load(cache / cache_name(gguf), lambda: _converted(gguf))

    def replies(self, request: Request) -> Iterator[Reply | None]:
        """The replies to a request, a bounded piece of work a step; None after a step without one."""
        return generate(self.chat, request) if isinstance(request, Generate) else self._embed(request)

    def _embed(self, request: Embed) -> Iterator[Reply | None]:
        if self._minilm is None:
            self._minilm = MiniLM(self._minilm_at)
        found: dict[int, tuple[float, ...]] = {}
        for batch in self._minilm.batches(request.texts):
            found.update(batch)
            yield None
        yield Vectors(request.id, tuple(found[index] for index in range(len(request.texts))))


def _converted(path: Path) -> Parts:
    """The model read from its GGUF file: some seconds' work, so its result is cached."""
    from llmguard.upstreams.embedded.convert import Gguf, quantised  # noqa: PLC0415  needed on the first start only

    gguf = Gguf(path)
    return Parts(gguf.config(), gguf.markers(), quantised(gguf.weights()), gguf.tokenizer())
