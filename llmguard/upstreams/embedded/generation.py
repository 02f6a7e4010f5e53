"""Text from the chat model, a step at a time.

`generate` is a generator that does a bounded piece of work per step, a prompt's chunk or one
token for each choice of a batch, so that whoever drives it can stop it, or do other work, in
between.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.upstreams.embedded.chatml import chat_tokens, text_tokens
from llmguard.upstreams.embedded.frames import Finished, Generate, Piece, Pieces, Refused, Reply
from llmguard.upstreams.embedded.llama import Cache
from llmguard.upstreams.embedded.marking import marked_draw
from llmguard.upstreams.embedded.order import Order
from llmguard.upstreams.embedded.sampling import Draw, Sampler, generator_of, inverse_draw
from llmguard.upstreams.embedded.text import TextOut

DEFAULT_TOKENS = 1024
"""How long an answer may become when the request does not say."""

CHUNK = 256
"""Prompt tokens that are read in one step: about a seventh of a second."""

BATCH = 8
"""Choices that are generated side by side; eight take about two and a half times as long as one."""

BATCH_POSITIONS = 16_384
"""Positions that a batch may keep, 23 KB each."""


class Writer:
    """One choice as it is written. `tokens` are the prompt's and its own."""

    def __init__(self, index: int, prompt: Sequence[int], limit: int, order: Order, draw: Draw) -> None:
        self.index = index
        self.tokens = list(prompt)
        self.finish: str | None = None
        self._end = len(prompt) + limit
        self._sampler = Sampler(order.sampling, draw)
        self._out = TextOut(order.stop)

    def take(self, logits: NDArray[np.float32], model: ChatModel) -> Piece | None:
        """Draw a token; the text that it makes certain, or the choice's end."""
        token = self._sampler.next(logits, self.tokens)
        self.tokens.append(token)
        if token in model.ends:
            self.finish = "stop"
            return Piece(self.index, self._out.end(), self.finish)
        text = self._out.push(model.text_of(token))
        if self._out.stopped:
            self.finish = "stop"
        elif len(self.tokens) >= self._end:
            self.finish = "length"
            text += self._out.end()
        return Piece(self.index, text, self.finish) if text or self.finish else None


def generate(model: ChatModel, request: Generate) -> Iterator[Reply | None]:
    """The replies to an order; None after a step that had nothing to say.

    Usage is exact: every token drawn counts, the one that ends an answer included.
    """
    order = request.order
    prompts = [text_tokens(text, model) for text in order.texts]
    if order.turns:
        prompts = [chat_tokens(order.turns, model)]
    refusal = _refusal(request.id, order, prompts, model)
    if refusal is not None:
        yield refusal
        return
    completion = 0
    for number, prompt in enumerate(prompts):
        limit = min(order.max_tokens or DEFAULT_TOKENS, model.context - len(prompt))
        places = range(number * order.n, (number + 1) * order.n)
        writers = [Writer(place, prompt, limit, order, _draw(request, place)) for place in places]
        for pieces in _write(model, prompt, writers, limit):
            yield Pieces(request.id, pieces) if pieces else None
        completion += sum(len(writer.tokens) - len(prompt) for writer in writers)
    yield Finished(request.id, sum(map(len, prompts)), completion)


def _draw(request: Generate, choice: int) -> Draw:
    """What draws a choice's tokens."""
    generator = generator_of(request.order.sampling.seed, choice)
    if request.mark is None:
        return inverse_draw(generator)
    return marked_draw(request.mark, generator)


def _refusal(id_: int, order: Order, prompts: Sequence[Sequence[int]], model: ChatModel) -> Refused | None:
    """Why the order cannot be done by this model; None where it can."""
    if any(len(prompt) >= model.context for prompt in prompts):
        param = "messages" if order.turns else "prompt"
        return Refused(
            id_, "invalid_value", f"The prompt is longer than the model's context of {model.context} tokens.", param
        )
    if any(token >= model.vocabulary for token in order.sampling.logit_bias):
        return Refused(id_, "invalid_value", "`logit_bias` names a token that the model does not have.", "logit_bias")
    return None


def _write(
    model: ChatModel, prompt: Sequence[int], writers: Sequence[Writer], limit: int
) -> Iterator[tuple[Piece, ...]]:
    """Read the prompt once, then let the writers write, a batch after the other."""
    cache = model.llama.cache(len(prompt) + limit)
    logits = torch.empty(0)
    for start in range(0, len(prompt), CHUNK):
        logits = model.llama.forward(torch.tensor([prompt[start : start + CHUNK]]), cache)
        yield ()
    side_by_side = max(1, min(BATCH, BATCH_POSITIONS // (len(prompt) + limit)))
    for start in range(0, len(writers), side_by_side):
        batch = writers[start : start + side_by_side]
        own = cache if len(writers) == 1 else cache.repeated(len(batch))
        yield from _batch(model, own, logits, batch)


def _batch(
    model: ChatModel, cache: Cache, logits: torch.Tensor, writers: Sequence[Writer]
) -> Iterator[tuple[Piece, ...]]:
    """A token for each writer a step; who has finished leaves the batch."""
    rows = logits.expand(len(writers), -1).numpy()
    while True:
        pieces = [writer.take(row, model) for writer, row in zip(writers, rows, strict=True)]
        yield tuple(piece for piece in pieces if piece is not None)
        going = [i for i, writer in enumerate(writers) if writer.finish is None]
        if not going:
            return
        if len(going) < len(writers):
            writers, cache = [writers[i] for i in going], cache.kept(going)
        rows = model.llama.forward(torch.tensor([[writer.tokens[-1]] for writer in writers]), cache).numpy()
