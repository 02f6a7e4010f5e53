"""`/v1/responses`: the request, as OpenAI defines it, and the chat request that it stands for.

Inside the guard every model is asked by a chat request, so that a control sees one shape. What a
chat request cannot say, because it needs state or tools on the upstream's side, is refused.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from llmguard.wire import chat
from llmguard.wire.chat import Metadata, Name, NotAllowed, Probability, Temperature, TokenCount
from llmguard.wire.content_parts import Identifier
from llmguard.wire.json_schema import JsonSchema, check_schema
from llmguard.wire.responses_items import read, read_items, refuse, to_messages


class FunctionTool(Struct, forbid_unknown_fields=True):
    """A function that the client runs; an answer repeats all of it, nulls as well."""

    type: Literal["function"]
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        """The schema can be sent on."""
        check_schema("parameters", self.parameters)


class NamedChoice(Struct, forbid_unknown_fields=True):
    """A choice of one function."""

    type: Literal["function"]
    name: Name


class SchemaFormat(Struct, forbid_unknown_fields=True, tag_field="type", tag="json_schema", omit_defaults=True):
    """A JSON schema that the answer must follow."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    schema: JsonSchema
    description: str | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        """The schema can be sent on."""
        check_schema("schema", self.schema)


class TextConfig(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How the text is to be written."""

    format: chat.TextFormat | chat.JsonObjectFormat | SchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Struct, forbid_unknown_fields=True):
    """How hard to think. A summary may be asked for; a chat gives none."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(Struct, forbid_unknown_fields=True):
    """What a stream carries besides text."""

    include_obfuscation: bool | None = None


# Items and messages are one to one at most, and `instructions` adds a message.
Items = Annotated[list[Any], Meta(min_length=1, max_length=2047)]


class ResponsesRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """A request for a response: once built, it can be translated.

    Building raises ValidationError for what is not valid and Refused for what is not allowed.
    `input` then holds Item structs, `tools` FunctionTool and `tool_choice` NamedChoice; they are
    declared wider so that a kind unknown here is refused by its name, not for its other fields.
    `store` may be true, as it is by default at OpenAI; nothing is stored, and the answer says so.
    """

    model: Name
    input: str | Items | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    max_output_tokens: TokenCount | None = None
    tools: Annotated[list[Any], Meta(max_length=128)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Metadata | None = None
    user: Identifier | None = None
    safety_identifier: Identifier | None = None
    prompt_cache_key: Identifier | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    store: bool | None = None
    background: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[Any] | None = None
    previous_response_id: NotAllowed = None
    conversation: NotAllowed = None
    max_tool_calls: NotAllowed = None
    prompt: NotAllowed = None
    prompt_cache_options: NotAllowed = None
    context_management: NotAllowed = None
    moderation: NotAllowed = None

    def __post_init__(self) -> None:
        """Refuse what is not allowed, read what has many kinds, then the rules that bind two fields."""
        self._refuse_upstream_state()
        if self.input is None:
            raise ValueError("`input` is missing")
        if not isinstance(self.input, str):
            self.input = read_items(self.input)
            if not self.input:
                raise ValueError("`input` needs an item other than reasoning")
        self._read_tools()
        if self.stream_options is not None and not self.stream:
            raise ValueError("`stream_options` needs `stream: true`")

    def _refuse_upstream_state(self) -> None:
        for param, given in (
            ("previous_response_id", self.previous_response_id is not None),
            ("conversation", self.conversation is not None),
            ("prompt", self.prompt is not None),
            ("background", bool(self.background)),
            ("truncation", self.truncation == "auto"),
            ("include", bool(self.include)),
            ("max_tool_calls", self.max_tool_calls is not None),
            ("prompt_cache_options", self.prompt_cache_options is not None),
            ("context_management", self.context_management is not None),
            ("moderation", self.moderation is not None),
        ):
            if given:
                refuse(param)

    def _read_tools(self) -> None:
        if self.tools is not None:
            self.tools = [_read_function(tool, FunctionTool, f"tools[{i}]") for i, tool in enumerate(self.tools)]
        if self.tool_choice is None or self.tool_choice in ("none", "auto"):
            return
        if isinstance(self.tool_choice, str):
            read(self.tool_choice, Literal["required"], "tool_choice")
        else:
            self.tool_choice = _read_function(self.tool_choice, NamedChoice, "tool_choice")
        if not self.tools:
            raise ValueError("`tool_choice` needs `tools`")


def _read_function(value: Any, shape: type[FunctionTool | NamedChoice], place: str) -> Any:
    if isinstance(value, dict) and value.get("type") not in (None, "function"):
        read(value["type"], str, f"{place}.type")
        refuse(f"{place}.type", "must be 'function' here")
    return read(value, shape, place)


def to_chat(asked: ResponsesRequest) -> chat.ChatRequest:
    """The chat request that asks for the same; never fails.

    Usage is always asked of a stream, because a response always tells it. `store` is not passed
    on. Without tools, what was said about choosing them has no meaning and is dropped.
    """
    text = asked.text or TextConfig()
    return chat.ChatRequest(
        model=asked.model,
        messages=_messages(asked),
        stream=asked.stream,
        stream_options=_stream_options(asked),
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_completion_tokens=asked.max_output_tokens,
        # Zero is the default there, and means none; in a chat it would still ask for the tokens'.
        logprobs=True if asked.top_logprobs else None,
        top_logprobs=asked.top_logprobs or None,
        tools=[_tool(tool) for tool in asked.tools] if asked.tools else None,
        tool_choice=_tool_choice(asked) if asked.tools else None,
        parallel_tool_calls=asked.parallel_tool_calls if asked.tools else None,
        response_format=_response_format(text),
        reasoning_effort=asked.reasoning.effort if asked.reasoning else None,
        verbosity=text.verbosity,
        user=asked.user,
        safety_identifier=asked.safety_identifier,
        prompt_cache_key=asked.prompt_cache_key,
        prompt_cache_retention=asked.prompt_cache_retention,
        metadata=asked.metadata,
        service_tier=asked.service_tier,
    )


def _messages(asked: ResponsesRequest) -> list[chat.AnyMessage]:
    told: list[chat.AnyMessage] = []
    if asked.instructions is not None:
        told.append(chat.SystemMessage(content=asked.instructions))
    if isinstance(asked.input, str):
        return [*told, chat.UserMessage(content=asked.input)]
    return told + to_messages(asked.input or [])


def _stream_options(asked: ResponsesRequest) -> chat.StreamOptions | None:
    if not asked.stream:
        return None
    obfuscation = asked.stream_options.include_obfuscation if asked.stream_options else None
    return chat.StreamOptions(include_usage=True, include_obfuscation=obfuscation)


def _tool(tool: FunctionTool) -> chat.Tool:
    function = chat.Function(
        name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
    )
    return chat.Tool(type="function", function=function)


def _tool_choice(asked: ResponsesRequest) -> Any:
    if isinstance(asked.tool_choice, NamedChoice):
        return chat.NamedTool(type="function", function=chat.NamedFunction(name=asked.tool_choice.name))
    return asked.tool_choice


def _response_format(text: TextConfig) -> chat.TextFormat | chat.JsonObjectFormat | chat.JsonSchemaFormat | None:
    if not isinstance(text.format, SchemaFormat):
        return text.format
    asked = text.format
    return chat.JsonSchemaFormat(
        json_schema=chat.SchemaFormat(
            name=asked.name, schema=asked.schema, description=asked.description, strict=asked.strict
        )
    )
