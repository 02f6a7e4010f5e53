"""Tokens of the embedded chat model, counted beside it: the guard's own process needs no torch for that."""

from pathlib import Path

from tokenizers import Tokenizer

from llmguard.errors import UpstreamFailure
from llmguard.upstreams.embedded.chatml import chat_tokens, text_tokens
from llmguard.upstreams.embedded.order import order_of
from llmguard.upstreams.embedded.packages import TOKENIZER, cache_name, chat_gguf
from llmguard.wire.model_request import ModelRequest


class EmbeddedCounter:
    """Counts as the worker does: by the same template and the same tokenizer file."""

    def __init__(self, cache: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(cache / cache_name(chat_gguf()) / TOKENIZER))

    def prompt(self, request: ModelRequest) -> int | None:
        """The tokens that the model will read; None for a request that it will refuse."""
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
