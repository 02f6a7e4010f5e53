"""SmolLM2's chat format, token by token.

The model's own template, which the tests compare: ChatML, and its default system prompt
where the first message is not a system message. Markers are put in by id and texts are
tokenised without markers, so that `<|im_end|>` in a message is nine harmless characters.
"""

from collections.abc import Sequence
from typing import Protocol

from llmguard.upstreams.embedded.order import Turn

START, END, DOCUMENT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

DEFAULT_SYSTEM = Turn("system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face")


class Vocabulary(Protocol):
    """Text to tokens, and a marker's token."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, in which a marker is just text."""
        ...

    def marker(self, name: str) -> int:
        """The id of a control token."""
        ...


def chat_tokens(turns: Sequence[Turn], vocabulary: Vocabulary) -> list[int]:
    """The conversation as tokens, ending where the assistant is to speak."""
    start, end = vocabulary.marker(START), vocabulary.marker(END)
    newline = vocabulary.encode("\n")
    first = () if turns and turns[0].role == "system" else (DEFAULT_SYSTEM,)
    tokens: list[int] = []
    for turn in (*first, *turns):
        tokens += [start, *vocabulary.encode(f"{turn.role}\n{turn.content}"), end, *newline]
    return [*tokens, start, *vocabulary.encode("assistant\n")]


def text_tokens(text: str, vocabulary: Vocabulary) -> list[int]:
    """A raw prompt as tokens; an empty one begins a document, because a model needs a token to start from."""
    return vocabulary.encode(text) or [vocabulary.marker(DOCUMENT_END)]
