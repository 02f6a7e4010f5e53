"""`/v1/chat/completions`: the answer and the chunk, as OpenAI defines them; a field that is not here is dropped."""

from typing import Annotated, Literal, final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType


class CompletionTokensDetails(Struct, omit_defaults=True, gc=False):
    """A breakdown of the completion's tokens."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(Struct, omit_defaults=True, kw_only=True):
    """Tokens spent.

    A breakdown of the prompt's is left out: it tells whether an upstream's cache knew the prompt, and with some engines
    its mere presence does.
    """

    prompt_tokens: Annotated[int, Meta(ge=0)]
    # A factory, so that a count of none is written: an omitted field would change the shape.
    completion_tokens: Annotated[int, Meta(ge=0)] = msgspec.field(default_factory=lambda: 0)
    total_tokens: Annotated[int, Meta(ge=0)]
    completion_tokens_details: CompletionTokensDetails | None = None


class TopLogprob(Struct):
    """A candidate token."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(Struct):
    """A token that was sampled, with its candidates."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] = msgspec.field(default_factory=list)


class Logprobs(Struct):
    """Log-probabilities of a choice."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class AnswerCall(Struct):
    """The function that the model calls."""

    name: str
    arguments: str


class AnswerToolCall(Struct):
    """A tool call that the model makes."""

    id: str
    function: AnswerCall
    type: str = "function"


class UrlCitation(Struct):
    """Where a passage comes from."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(Struct):
    """A citation."""

    type: Literal["url_citation"]
    url_citation: UrlCitation


class AnswerMessage(Struct):
    """The model's message. `content` and `refusal` are always there, null where empty."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    annotations: list[Annotation] | UnsetType = UNSET
    tool_calls: list[AnswerToolCall] | UnsetType | None = UNSET
    function_call: AnswerCall | UnsetType | None = UNSET


class Choice(Struct, kw_only=True):
    """One of the answers."""

    index: int = 0
    message: AnswerMessage
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class ChatCompletion(Struct, kw_only=True):
    """A whole chat answer."""

    id: str = ""
    object: str = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[Choice]
    usage: Usage | None = None
    system_fingerprint: str | None = None


class DeltaFunction(Struct, omit_defaults=True, gc=False):
    """A piece of a function call."""

    name: str | None = None
    arguments: str | None = None


class DeltaToolCall(Struct, omit_defaults=True):
    """A piece of a tool call."""

    index: int = msgspec.field(default_factory=int)
    id: str | None = None
    type: str | None = None
    function: DeltaFunction | None = None


class Delta(Struct, omit_defaults=True):
    """What a chunk adds to a choice."""

    role: Literal["assistant"] | None = None
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    tool_calls: list[DeltaToolCall] | None = None
    function_call: DeltaFunction | None = None


@final
class ChunkChoice(Struct, kw_only=True):
    """A choice's part of a chunk."""

    index: int = 0
    delta: Delta
    finish_reason: str | None = None
    logprobs: Logprobs | UnsetType | None = UNSET


class ChatChunk(Struct, kw_only=True):
    """One chunk of a streamed chat answer."""

    id: str = ""
    object: str = "chat.completion.chunk"
    created: int = 0
    model: str = ""
    choices: list[ChunkChoice]
    system_fingerprint: str | None = None
    usage: Usage | UnsetType | None = UNSET
    obfuscation: str | UnsetType = UNSET
