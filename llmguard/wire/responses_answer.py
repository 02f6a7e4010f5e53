"""The answer of `/v1/responses`: a Response, its items, and how a chat answer becomes one."""

from typing import Literal

from msgspec import Struct

from llmguard.wire import chat, chat_answer
from llmguard.wire.chat import Metadata
from llmguard.wire.responses import FunctionTool, NamedChoice, Reasoning, ResponsesRequest, TextConfig

Status = Literal["in_progress", "completed", "incomplete"]


class TopLogprob(Struct):
    """A candidate token."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A token that was sampled, with its candidates."""

    top_logprobs: list[TopLogprob]


class UrlCitation(Struct):
    """Where a passage comes from."""

    start_index: int
    end_index: int
    title: str
    url: str
    type: str = "url_citation"


class TextPart(Struct, tag_field="type", tag="output_text"):
    """Text of a message."""

    text: str
    annotations: list[UrlCitation]
    logprobs: list[TokenLogprob]


class RefusalPart(Struct, tag_field="type", tag="refusal"):
    """A refusal in a message."""

    refusal: str


class OutputMessage(Struct, tag_field="type", tag="message"):
    """What the model says."""

    id: str
    content: list[TextPart | RefusalPart]
    status: Status
    role: str = "assistant"


class OutputCall(Struct, tag_field="type", tag="function_call"):
    """A function that the model calls."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: Status


OutputItem = OutputMessage | OutputCall


class InputTokensDetails(Struct):
    """A breakdown of the input's tokens, which the shape asks for: of caches nothing is told."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct):
    """A breakdown of the output's tokens."""

    reasoning_tokens: int


class ResponseUsage(Struct):
    """Tokens spent."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class IncompleteDetails(Struct):
    """Why a response is not complete."""

    reason: Literal["max_output_tokens", "content_filter"]


class Response(Struct, kw_only=True):
    """A response. Its settings are those of the request; what was not given is null."""

    id: str
    object: str = "response"
    created_at: int
    status: Status
    background: bool = False
    error: None = None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: None = None
    metadata: Metadata
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: None = None
    prompt_cache_key: str | None
    reasoning: Reasoning
    safety_identifier: str | None
    service_tier: str | None
    store: bool = False
    temperature: float | None
    text: TextConfig
    tool_choice: str | NamedChoice
    tools: list[FunctionTool]
    top_logprobs: int
    top_p: float | None
    truncation: str = "disabled"
    usage: ResponseUsage | None
    user: str | None


def response(
    asked: ResponsesRequest,
    ident: str,
    created: int,
    output: list[OutputItem],
    status: Status,
    reason: Literal["max_output_tokens", "content_filter"] | None,
    usage: chat_answer.Usage | None,
) -> Response:
    """The Response at one moment; `reason` says why it is not complete."""
    text = asked.text or TextConfig()
    return Response(
        id=f"resp_{ident}",
        created_at=created,
        status=status,
        incomplete_details=IncompleteDetails(reason) if reason else None,
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        metadata=asked.metadata or {},
        model=asked.model,
        output=output,
        parallel_tool_calls=asked.parallel_tool_calls is not False,
        prompt_cache_key=asked.prompt_cache_key,
        reasoning=asked.reasoning or Reasoning(),
        safety_identifier=asked.safety_identifier,
        service_tier=asked.service_tier,
        temperature=asked.temperature,
        text=TextConfig(format=text.format or chat.TextFormat(), verbosity=text.verbosity),
        tool_choice=asked.tool_choice or "auto",
        tools=asked.tools or [],
        top_logprobs=asked.top_logprobs or 0,
        top_p=asked.top_p,
        usage=_usage(usage) if usage else None,
        user=asked.user,
    )


def why_incomplete(finish_reason: str | None) -> Literal["max_output_tokens", "content_filter"] | None:
    """What a chat's `finish_reason` means for a response; None where it is complete."""
    if finish_reason == "length":
        return "max_output_tokens"
    return "content_filter" if finish_reason == "content_filter" else None


def output_items(choice: chat_answer.Choice | None, ident: str) -> list[OutputItem]:
    """The items of a whole answer, all complete; never empty, since clients index the first."""
    message = choice.message if choice else chat_answer.AnswerMessage()
    calls = message.tool_calls or []
    content: list[TextPart | RefusalPart] = []
    if message.content or not (message.refusal or calls):
        logprobs = choice.logprobs.content if choice and choice.logprobs else None
        content.append(TextPart(message.content or "", _citations(message), token_logprobs(logprobs)))
    if message.refusal:
        content.append(RefusalPart(message.refusal))
    items: list[OutputItem] = []
    if content:
        items.append(OutputMessage(item_id("msg", ident, 0), content, "completed"))
    for index, call in enumerate(calls):
        place = len(items)
        called = call.function
        items.append(
            OutputCall(
                item_id("fc", ident, place),
                call.id or item_id("call", ident, index),
                called.name,
                called.arguments,
                "completed",
            )
        )
    return items


def item_id(kind: str, ident: str, index: int) -> str:
    """The id of the item at this place; different for every place of one exchange."""
    return f"{kind}_{ident}{index:02x}"


def token_logprobs(tokens: list[chat_answer.TokenLogprob] | None) -> list[TokenLogprob]:
    """A chat's log-probabilities, with `bytes` filled in where an upstream leaves them out."""
    return [
        TokenLogprob(
            token.token,
            token.logprob,
            _bytes(token),
            [TopLogprob(t.token, t.logprob, _bytes(t)) for t in token.top_logprobs],
        )
        for token in tokens or ()
    ]


def _bytes(token: chat_answer.TokenLogprob | chat_answer.TopLogprob) -> list[int]:
    return list(token.token.encode(errors="replace")) if token.bytes is None else token.bytes


def _citations(message: chat_answer.AnswerMessage) -> list[UrlCitation]:
    cited = [annotation.url_citation for annotation in message.annotations or ()]
    return [UrlCitation(c.start_index, c.end_index, c.title, c.url) for c in cited]


def _usage(usage: chat_answer.Usage) -> ResponseUsage:
    reasoning = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else None
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning or 0),
        total_tokens=usage.total_tokens,
    )
