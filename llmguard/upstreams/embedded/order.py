"""An OpenAI request as a work order for the embedded chat model; what it cannot do is refused."""

from collections.abc import Iterator

import msgspec

from llmguard.errors import Denial, UpstreamFailure
from llmguard.wire.chat import AnyMessage, AssistantMessage, ChatRequest, FunctionMessage, TextFormat, ToolMessage
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.content_parts import RefusalPart, TextPart
from llmguard.wire.model_request import ModelRequest

MODEL = "smollm2-135m-instruct"
COMPLETION_TOKENS = 16
"""How long a text completion is when the request does not say: OpenAI's own default."""


class Turn(msgspec.Struct, frozen=True):
    """A message as the chat template sees it."""

    role: str
    content: str


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn. `top_k` below 1 is off; temperature 0 takes the likeliest token."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    seed: int | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker is to generate: `n` choices for the turns, or for each of the texts.

    Choices are indexed prompt * n + i. `max_tokens` None leaves the length to the worker.
    """

    turns: tuple[Turn, ...] = ()
    texts: tuple[str, ...] = ()
    n: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()

    @property
    def choices(self) -> int:
        """How many choices the answer has."""
        return self.n * (1 if self.turns else len(self.texts))


def order_of(request: ModelRequest) -> Order:
    """The order for a request; raises UpstreamFailure for what the model does not know or cannot do."""
    if request.model != MODEL:
        raise UpstreamFailure(Denial("model_not_found", param="model"), retryable=False)
    unsupported = _chat_unsupported(request) if isinstance(request, ChatRequest) else _completion_unsupported(request)
    for param in unsupported:
        raise _refusal(param)
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    if isinstance(request, CompletionRequest):
        return Order(
            texts=(request.prompt,) if isinstance(request.prompt, str) else tuple(request.prompt),
            n=request.n or 1,
            max_tokens=request.max_tokens or COMPLETION_TOKENS,
            stop=stop,
            sampling=_sampling(request),
        )
    return Order(
        turns=tuple(_turn(message) for message in request.messages),
        n=request.n or 1,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop=stop,
        sampling=_sampling(request),
    )


def _refusal(param: str) -> UpstreamFailure:
    return UpstreamFailure(Denial("parameter_not_allowed", param=param), retryable=False)


def _chat_unsupported(request: ChatRequest) -> Iterator[str]:
    """The names of the fields that ask for what this model lacks."""
    for name in ("tools", "functions", "logprobs", "top_logprobs", "audio", "prediction", "web_search_options"):
        if getattr(request, name):
            yield name
    if request.function_call not in (None, "none"):
        yield "function_call"
    if request.response_format is not None and not isinstance(request.response_format, TextFormat):
        yield "response_format"
    if request.reasoning_effort not in (None, "none"):
        yield "reasoning_effort"
    if request.verbosity not in (None, "medium"):
        yield "verbosity"
    if "audio" in (request.modalities or ()):
        yield "modalities"


def _completion_unsupported(request: CompletionRequest) -> Iterator[str]:
    """The names of the fields that ask for what this model lacks."""
    if request.best_of is not None and request.best_of > 1:
        yield "best_of"
    if request.logprobs is not None:
        yield "logprobs"
    if request.echo:
        yield "echo"
    if request.suffix:
        yield "suffix"


def _turn(message: AnyMessage) -> Turn:
    if isinstance(message, ToolMessage | FunctionMessage):
        raise _refusal("messages")
    if isinstance(message, AssistantMessage):
        if message.tool_calls or message.function_call is not None:
            raise _refusal("messages")
        return Turn("assistant", _text(message.content) or message.refusal or "")
    role = message.__struct_config__.tag
    return Turn("system" if role == "developer" else str(role), _text(message.content))


def _text(content: object) -> str:
    """The content as one text; parts are joined by a line break, as vLLM does."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    lines = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, TextPart):
            lines.append(part.text)
        elif isinstance(part, RefusalPart):
            lines.append(part.refusal)
        else:
            raise _refusal("messages")
    return "\n".join(lines)


def _sampling(request: ModelRequest) -> Sampling:
    """OpenAI's defaults where the request is silent."""
    return Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=request.top_k or 0,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        logit_bias={int(token): bias for token, bias in (request.logit_bias or {}).items()},
        seed=request.seed,
    )
