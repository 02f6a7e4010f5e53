"""Tokens of the embedded models, counted beside it: the guard's own process needs no torch for that."""

from pathlib import Path

from tokenizers import Tokenizer

from llmguard.errors import UpstreamFailure
from llmguard.upstreams.embedded import sentences
from llmguard.upstreams.embedded.chatml import chat_tokens, text_tokens
from llmguard.upstreams.embedded.order import order_of
from llmguard.upstreams.embedded.packages import TOKENIZER, cache_name, chat_gguf
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import ClassifyRequest, EmbeddingRequest, PoolingRequest, texts


class EmbeddedCounter:
    """Counts as the worker does: by the same template and the same tokenizer files."""

    def __init__(self, cache: Path) -> None:
        self._sentences = sentences.tokenizer(sentences.directory())
        self._tokenizer = Tokenizer.from_file(str(cache / cache_name(chat_gguf()) / TOKENIZER))

    def prompt(self, request: ModelRequest | PoolingRequest) -> int | None:
        """The tokens that the model will read; None for a request that it will refuse."""
        if isinstance(request, ClassifyRequest | EmbeddingRequest):
            return sum(len(self._sentences.encode(text).ids) for text in texts(request))
        try:
            order = order_of(request)
        except UpstreamFailure:
            return None
        if order.turns:
            return len(chat_tokens(order.turns, self))
        return sum(len(text_tokens(text, self)) for text in order.texts)

    def text(self, text: str) -> int:
        """The tokens of a text that it wrote."""
        return len(self.encode(text))

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, in which a marker is just text."""
        return self._tokenizer.encode(text).ids

    def marker(self, name: str) -> int:
        """The id of a control token; raises ValueError."""
        found = self._tokenizer.token_to_id(name)
        if found is None:
            raise ValueError(f"{name} is no token of this model")
        return int(found)
