"""Log-probabilities, where a policy grants them coarsely, leave coarse."""

from itertools import repeat

import msgspec

from llmguard.control import Step
from llmguard.decoding.coarse import Prompt, coarse, prompt_of, rank
from llmguard.decoding.verdict import MOST_CANDIDATES, reads_logits
from llmguard.errors import Denial
from llmguard.exchange import Exchange, Outcome
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import Logprobs, TopLogprob
from llmguard.wire.completions import CompletionLogprobs

encode = msgspec.json.Encoder().encode


class Logits(Step):
    """Puts every log-probability of an answer into one of few steps, with keyed noise. Events are changed in place.

    Released ahead of the padding of chunks, which counts what is sent. Alternatives of one step stand in an order of
    chance; there are MOST_CANDIDATES of them at most.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._prompts: dict[str, Prompt] = {}

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Remember what the noise of this exchange hangs on."""
        request, floors = exchange.request, exchange.policy.decoding
        if request is None or floors is None or floors.logprobs != "coarse" or not reads_logits(request):
            return exchange
        said = request.messages if isinstance(request, ChatRequest) else request.prompt
        self._prompts[exchange.id] = prompt_of(encode((exchange.model, said)).decode())
        return exchange

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Coarsen what the event tells."""
        prompt = self._prompts.get(exchange.id)
        if prompt is None:
            return event
        for choice in event.choices:
            if isinstance(choice.logprobs, Logprobs):
                self._chat(choice.logprobs, prompt)
            elif isinstance(choice.logprobs, CompletionLogprobs):
                self._completion(choice.logprobs, prompt)
        return event

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Forget it."""
        self._prompts.pop(exchange.id, None)

    def _chat(self, told: Logprobs, prompt: Prompt) -> None:
        for token in (*(told.content or ()), *(told.refusal or ())):
            token.logprob = coarse(token.logprob, self._key, prompt, token.token)
            others = token.top_logprobs[:MOST_CANDIDATES]
            for other in others:
                other.logprob = coarse(other.logprob, self._key, prompt, other.token)
            token.top_logprobs = sorted(others, key=lambda other: self._place(other, prompt))

    def _completion(self, told: CompletionLogprobs, prompt: Prompt) -> None:
        tokens = told.tokens or repeat("")
        told.token_logprobs = [
            None if value is None else coarse(value, self._key, prompt, token)
            for value, token in zip(told.token_logprobs or (), tokens, strict=False)
        ]
        if told.top_logprobs is None:
            return
        told.top_logprobs = [
            None if others is None else self._alternatives(others, prompt) for others in told.top_logprobs
        ]

    def _alternatives(self, others: dict[str, float], prompt: Prompt) -> dict[str, float]:
        kept = list(others.items())[: MOST_CANDIDATES + 1]  # the token that was drawn comes on top
        found = [TopLogprob(token, coarse(value, self._key, prompt, token)) for token, value in kept]
        return {other.token: other.logprob for other in sorted(found, key=lambda other: self._place(other, prompt))}

    def _place(self, other: TopLogprob, prompt: Prompt) -> tuple[float, int]:
        return -other.logprob, rank(self._key, prompt, other.token)
