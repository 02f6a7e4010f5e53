"""`/v1/completions`: the older text-completion request and answer."""

from typing import Annotated, final

from msgspec import UNSET, Meta, Struct, UnsetType

from llmguard.wire.chat import (
    Choices,
    LogitBias,
    Name,
    NotAllowed,
    Penalty,
    Probability,
    Seed,
    Stop,
    StreamOptions,
    Temperature,
    TokenCount,
)
from llmguard.wire.chat_answer import Usage
from llmguard.wire.content_parts import Identifier
from llmguard.wire.engine_fields import EngineFields

Prompt = str | Annotated[list[str], Meta(min_length=1, max_length=128)]


class CompletionRequest(EngineFields, kw_only=True):
    """A text-completion request. Prompts are text: token ids would pass by every look at the text."""

    model: Name
    prompt: Prompt
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    n: Choices | None = None
    best_of: Choices | None = None
    max_tokens: TokenCount | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    user: Identifier | None = None
    # The guard's own to set, as in a chat.
    cache_salt: NotAllowed = None

    def __post_init__(self) -> None:
        """Rules that bind two fields."""
        super().__post_init__()
        if self.stream_options is not None and not self.stream:
            raise ValueError("`stream_options` needs `stream: true`")
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise ValueError("`best_of` must be at least `n`")
        if self.best_of is not None and self.stream and self.best_of > 1:
            raise ValueError("`best_of` cannot be streamed")


class CompletionLogprobs(Struct):
    """Log-probabilities in the older shape."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] | None = None


@final
class CompletionChoice(Struct):
    """One of the answers, or a piece of it in a stream."""

    text: str = ""
    index: int = 0
    finish_reason: str | None = None
    logprobs: CompletionLogprobs | None = None


class Completion(Struct, kw_only=True):
    """A whole text completion, or one chunk of a streamed one."""

    id: str = ""
    object: str = "text_completion"
    created: int = 0
    model: str = ""
    choices: list[CompletionChoice]
    system_fingerprint: str | None = None
    usage: Usage | UnsetType | None = UNSET
    obfuscation: str | UnsetType = UNSET
