"""Stealing the last layer (Carlini et al. 2024, "Stealing Part of a Production Language Model", section 4).

Logits are the head's matrix times a hidden state. A matrix of them, prompts by tokens, has the hidden size for its
rank, and its right singular vectors span the head's rows. A bias of equal size on a few tokens brings them among the
alternatives that are told; their log-probabilities, less one of every question, are differences of logits.
"""

from collections.abc import AsyncIterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmguard.mark import Mark
from llmguard.upstreams.embedded.chat_model import ChatModel
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest, UserMessage
from llmguard.wire.chat_answer import AnswerMessage, ChatCompletion, Choice, Logprobs, TokenLogprob, TopLogprob
from llmguard.wire.model_request import ModelRequest
from tests.fakes.upstream import FakeUpstream

Floats = NDArray[np.float64]
TOP = 20
"""So many alternatives are told of a token."""
BIAS = 100.0


class Head:
    """Stands for the model's embedding and keeps what is multiplied with it last."""

    def __init__(self, real: object) -> None:
        self._real = real
        self.hidden = torch.empty(0)

    def rows(self, index: Tensor) -> Tensor:
        """As it was."""
        rows: Tensor = self._real.rows(index)  # type: ignore[attr-defined]
        return rows

    def logits(self, x: Tensor) -> Tensor:
        """Nothing: the caller takes `hidden`."""
        self.hidden = x
        return torch.zeros(x.shape[0], 1)


def states(model: ChatModel, prompts: int, steps: int = 6, batch: int = 80) -> tuple[Floats, Floats]:
    """Last hidden states [prompts, hidden] of prompts of random tokens, and the head [vocabulary, hidden]."""
    generator, llama = torch.Generator().manual_seed(1), model.llama
    real, head = llama._embedding, Head(llama._embedding)
    llama._embedding = head  # type: ignore[assignment]
    try:
        found = []
        for start in range(0, prompts, batch):
            rows = min(batch, prompts - start)
            tokens = torch.randint(100, model.vocabulary, (rows, steps), generator=generator)
            llama.forward(tokens, llama.cache(steps).repeated(rows))
            found.append(head.hidden.clone())
    finally:
        llama._embedding = real
    matrix = real.rows(torch.arange(model.vocabulary))
    return torch.cat(found).double().numpy(), matrix.double().numpy()


class LogitOracle(FakeUpstream):
    """An upstream with real logits in full precision: prompt `i` is answered with its next token's alternatives."""

    def __init__(self, logits: Floats) -> None:
        super().__init__()
        self._logits = logits
        self._sums = np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
        self._highest = logits.max(axis=1)
        self._likely = np.argsort(-logits, axis=1)[:, :TOP]

    async def ask(self, request: ModelRequest, mark: Mark | None = None) -> Event:
        """The likeliest token and its alternatives, with the bias that the request asks for."""
        assert isinstance(request, ChatRequest)
        message = request.messages[-1]
        assert isinstance(message, UserMessage)
        row = int(str(message.content).removeprefix("prompt "))
        bias = {int(token): value for token, value in (request.logit_bias or {}).items()}
        candidates = np.array([*bias, *(token for token in self._likely[row] if token not in bias)])
        own = self._logits[row, candidates] - self._highest[row]
        moved = own + np.array([bias.get(int(token), 0.0) for token in candidates])
        rest = max(self._sums[row] - np.exp(own).sum(), 0.0)
        shift = moved.max()
        logprobs = moved - shift - np.log(np.exp(moved - shift).sum() + rest * np.exp(-shift))
        order = np.argsort(-moved, kind="stable")[: request.top_logprobs or 0]
        told = [TopLogprob(str(candidates[place]), float(logprobs[place])) for place in order]
        first = int(order[0]) if order.size else 0
        said = Logprobs([TokenLogprob(str(candidates[first]), float(logprobs[first]), top_logprobs=told)])
        answer = AnswerMessage(content=str(candidates[first]))
        return ChatCompletion(choices=[Choice(message=answer, finish_reason="stop", logprobs=said)])


async def asking(upstream: FakeUpstream, prompts: int, tokens: Sequence[int]) -> AsyncIterator[tuple[int, ChatRequest]]:
    """The attack's questions in order, with the prompt of each; the first token is in all of them."""
    reference, *others = tokens
    for row in range(prompts):
        for start in range(0, len(others), TOP - 1):
            chosen = [reference, *others[start : start + TOP - 1]]
            yield (
                row,
                ChatRequest(
                    model="m",
                    messages=[UserMessage(content=f"prompt {row}")],
                    logprobs=True,
                    top_logprobs=TOP,
                    max_tokens=1,
                    logit_bias={str(token): BIAS for token in chosen},
                ),
            )


async def stolen(upstream: FakeUpstream, prompts: int, tokens: Sequence[int]) -> Floats:
    """Differences of logits [prompts, tokens - 1] to the first token's, through the upstream's own interface."""
    place = {str(token): index for index, token in enumerate(tokens)}
    found = np.zeros((prompts, len(tokens)))
    async for row, request in asking(upstream, prompts, tokens):
        answer = await upstream.ask(request)
        told = answer.choices[0].logprobs.content[0].top_logprobs  # type: ignore[union-attr, index]
        values = {other.token: other.logprob for other in told}  # type: ignore[union-attr]
        for token, value in values.items():
            if token not in (request.logit_bias or ()):  # a natural one, where a last question is short
                continue
            found[row, place[token]] = value - values[str(tokens[0])]
    return found[:, 1:]


def knee(matrix: Floats, least: int = 8) -> tuple[int, float]:
    """The rank at which singular values drop most, and by what factor; those before `least` are passed over."""
    values = np.linalg.svd(matrix, compute_uv=False)
    ratios = values[:-1] / np.maximum(values[1:], 1e-300)
    rank = least + int(ratios[least:].argmax())
    return rank + 1, float(ratios[rank])
