"""What a request may take at most, known before it is sent, and what it took, known when it has ended.

Amounts come in the order of MEASURES. Tokens of the input are exact where the model's own tokenizer is here; else they
are bounded: no vocabulary in use spends more than a token on a byte, and the request's JSON is longer than what a chat
template makes of it. Tokens of the output are bounded by the cap, which the upstream is told.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, Self, TypeAlias

import msgspec
from msgspec.structs import replace

from llmguard.settings import Credits
from llmguard.settings_policies import Outputs
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_answer import Usage
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.content_parts import ImagePart
from llmguard.wire.model_request import ModelRequest
from llmguard.wire.pooling import ClassifyRequest, PoolingRequest, texts

Amounts: TypeAlias = tuple[int, ...]

TEMPLATE_TOKENS: Final = 64
"""What a chat template may add of its own: its markers, a default system prompt."""
IMAGE_TOKENS: Final = 4096
"""What a picture is taken for; its bytes say nothing of its tokens. What it costs more is charged when it is known."""
COMPLETION_TOKENS: Final = 16
"""How long a text completion is that names no length: OpenAI's own default, and every engine's."""
CREDIBLE_BYTES: Final = 16
"""Text of that many bytes a token does not occur: a report of fewer tokens is no report."""
NOTHING: Final[Amounts] = (0, 0, 0, 0, 0, 0)


class Prices(msgspec.Struct, frozen=True):
    """The settings' credits: a model of pydantic's takes ten times as long to read."""

    text: int
    label: int
    score: int
    logit: int
    embedding: int

    @classmethod
    def of(cls, credits: Credits) -> Self:
        """The same prices."""
        return cls(**credits.model_dump())


class Needs(msgspec.Struct, frozen=True, gc=False):
    """A request's bounds. `credits` price its answers, and `logits` the log-probabilities that come with a token.

    Of each answer `candidates` are made, and one is given.
    """

    request: ModelRequest | PoolingRequest
    input_tokens: int
    output_tokens: int
    credits: int
    logits: int = 0
    candidates: int = 1

    @property
    def amounts(self) -> Amounts:
        """The most that it can take."""
        given, made = self.input_tokens, self.output_tokens
        return 1, given + made, given, made, self.credits + made // self.candidates * self.logits, 1

    def taken(self, usage: Usage | None, code: str, relayed_bytes: int, counted: int | None) -> Amounts:
        """What it took, by the upstream's report, the code that it failed with ("" for none) and what was relayed.

        `counted` is the relayed text in tokens, where the model's tokenizer is here. Nothing where it failed before
        anything was generated. A report that the relayed text proves too small is replaced by the bound: an
        underestimate gives nothing back.
        """
        given, candidates = self.input_tokens, self.candidates
        # What was not picked was made as well.
        relayed_bytes *= candidates
        if usage is None:
            if not relayed_bytes and code:
                # Who leaves before the answer has been served up to there; who was not answered, not at all.
                return (1, given, given, 0, 0, 0) if code == "client_closed_request" else NOTHING
            made = self._made(relayed_bytes, counted)
        else:
            read, made = usage.prompt_tokens, usage.completion_tokens
            # A bound is no smaller than the text: only what is far below it needs a look at the text itself.
            if read * CREDIBLE_BYTES >= given or read * CREDIBLE_BYTES >= _text_bytes(self.request):
                given = read
            if made * CREDIBLE_BYTES < relayed_bytes:
                made = max(made, self._made(relayed_bytes, counted))
        return 1, given + made, given, made, self.credits + made // candidates * self.logits, 0

    def _made(self, relayed_bytes: int, counted: int | None) -> int:
        """The tokens of what was made, counted or bounded."""
        return min(self.output_tokens, relayed_bytes) if counted is None else counted * self.candidates


def picker(places: Sequence[int]) -> Callable[[Sequence[int]], tuple[int, ...]]:
    """Takes what stands at these places of a sequence, such as a rule's measure of amounts."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda amounts: tuple([amounts[place] for place in places])


def input_bound(request: ModelRequest | PoolingRequest, body_bytes: int) -> int:
    """The most tokens that a body of so many bytes can be for a model."""
    bound = body_bytes + TEMPLATE_TOKENS
    if isinstance(request, ChatRequest):
        for message in request.messages:
            if type(message.content) is list:
                pictures = [part for part in message.content if type(part) is ImagePart]
                bound += sum([IMAGE_TOKENS - len(part.image_url.url) for part in pictures])
    return bound


def needs(request: ModelRequest, input_tokens: int, most: int, prices: Prices, candidates: int = 1) -> Needs:
    """The bounds of a request whose choices have at most so many tokens, and are each picked of so many candidates."""
    choices = choices_of(request)
    logits = 0 if request.logprobs is None else _logits(request) * prices.logit
    return Needs(request, input_tokens, most * choices * candidates, choices * prices.text, logits, candidates)


def pooling_needs(request: PoolingRequest, input_tokens: int, prices: Prices, outputs: Outputs) -> Needs:
    """The bounds of a request whose answer is a label, a score or a vector for each of its texts."""
    price = prices.embedding
    if isinstance(request, ClassifyRequest):
        price = prices.label if outputs.scores == "label" else prices.score
    return Needs(request, input_tokens, 0, price * len(texts(request)))


def cap(request: ModelRequest) -> int | None:
    """The most output tokens of one choice, where the request says."""
    if isinstance(request, ChatRequest) and request.max_completion_tokens is not None:
        return request.max_completion_tokens
    return request.max_tokens


def capped(request: ModelRequest, most: int) -> ModelRequest:
    """The request with this cap, which the upstream then keeps."""
    if isinstance(request, ChatRequest):
        return replace(request, max_tokens=None, max_completion_tokens=most)
    return replace(request, max_tokens=most)


def choices_of(request: ModelRequest) -> int:
    if type(request) is CompletionRequest:
        prompts = 1 if isinstance(request.prompt, str) else len(request.prompt)
        return max(request.n or 1, request.best_of or 1) * prompts
    return request.n or 1


def _logits(request: ModelRequest) -> int:
    if isinstance(request, CompletionRequest):
        return 1 + (request.logprobs or 0)
    return 1 + (request.top_logprobs or 0) if request.logprobs else 0


def _text_bytes(request: ModelRequest | PoolingRequest) -> int:
    """No more than the bytes of its prompts: characters, of plain texts alone."""
    if isinstance(request, ChatRequest):
        size = 0
        for message in request.messages:
            if type(message.content) is str:
                size += len(message.content)
        return size
    if isinstance(request, CompletionRequest):
        return len(request.prompt) if isinstance(request.prompt, str) else sum(map(len, request.prompt))
    return sum(map(len, texts(request)))
