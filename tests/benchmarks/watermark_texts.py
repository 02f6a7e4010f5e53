"""Texts of the embedded model, marked or not: prompts of our own, many answers side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product

import torch

from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.upstreams.embedded.chatml import chat_tokens
from llmguard.upstreams.embedded.llama import Cache
from llmguard.upstreams.embedded.order import Sampling, Turn
from llmguard.upstreams.embedded.sampling import Draw, Sampler

ROWS = 16
FORMS = (
    "Write a long essay about {}.",
    "Tell me a story about {}.",
    "Explain to a curious child all about {}.",
    "Write a detailed blog post about {}.",
)
TOPICS = (
    "lighthouses", "volcanoes", "the history of bread", "a lost dog", "bees", "the night sky", "old maps", "glaciers",
    "learning to swim", "chess", "a small island", "the violin", "tea", "deserts", "a village market", "whales",
    "paper", "a long train journey", "gardening in winter", "owls", "clocks", "a stormy sea", "mushrooms", "bridges",
    "the invention of glass", "mountain huts", "coffee houses", "a broken radio", "rivers", "kites", "salt", "ballet",
    "street musicians", "the first snow",
)  # fmt: skip
"""Different enough that no two prompts are alike."""


@dataclass(frozen=True, slots=True)
class Text:
    """An answer: its tokens, without the one that ended it, and the mean surprise of a token to the plain model."""

    prompt: int
    tokens: tuple[int, ...]
    surprise: float


def prompts(count: int) -> list[str]:
    """The first `count` of 136."""
    return [form.format(topic) for form, topic in product(FORMS, TOPICS)][:count]


def texts(
    model: ChatModel, asked: Sequence[str], draw: Callable[[], Draw], *, sampling: Sampling, tokens: int
) -> list[Text]:
    """An answer of at most `tokens` tokens to each prompt, each drawn by a new `draw()`."""
    encoded = [(chat_tokens((Turn("user", text),), model), place) for place, text in enumerate(asked)]
    found: list[Text] = []
    # What is read together must be of one length.
    for _, group in groupby(sorted(encoded, key=lambda one: len(one[0])), lambda one: len(one[0])):
        same = list(group)
        for start in range(0, len(same), ROWS):
            found += _together(model, same[start : start + ROWS], draw, sampling, tokens)
    return sorted(found, key=lambda text: text.prompt)


class Row:
    """One answer as it grows."""

    def __init__(self, prompt: list[int], place: int, sampler: Sampler) -> None:
        self.place = place
        self.tokens = list(prompt)
        self.begun = len(prompt)
        self.surprise = 0.0
        self._sampler = sampler

    def take(self, logits: torch.Tensor) -> int:
        """The next token."""
        token = self._sampler.next(logits.numpy(), self.tokens)
        self.surprise += float(torch.logsumexp(logits, 0) - logits[token])
        self.tokens.append(token)
        return token

    def text(self, ended: bool) -> Text:
        """What has been written."""
        length = len(self.tokens) - self.begun
        return Text(self.place, tuple(self.tokens[self.begun : len(self.tokens) - ended]), self.surprise / length)


def _together(
    model: ChatModel, asked: Sequence[tuple[list[int], int]], draw: Callable[[], Draw], sampling: Sampling, tokens: int
) -> Iterator[Text]:
    rows = [Row(prompt, place, Sampler(sampling, draw())) for prompt, place in asked]
    cache: Cache = model.llama.cache(rows[0].begun + tokens).repeated(len(rows))
    logits = model.llama.forward(torch.tensor([row.tokens for row in rows]), cache)
    for step in range(tokens):
        last = [row.take(one) for row, one in zip(rows, logits, strict=True)]
        ended = [token in model.ends for token in last]
        yield from (row.text(over) for row, over in zip(rows, ended, strict=True) if over or step + 1 == tokens)
        going = [place for place, over in enumerate(ended) if not over]
        if not going or step + 1 == tokens:
            return
        if len(going) < len(rows):
            rows, cache = [rows[place] for place in going], cache.kept(going)
        logits = model.llama.forward(torch.tensor([[row.tokens[-1]] for row in rows]), cache)
