"""`/v1/chat/completions`: the request, as OpenAI defines it.

A field that is not here is refused, so nothing is smuggled in without a line in this file. In the
same way a field that is not in `chat_answer` is dropped, so nothing of the upstream leaks out.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from llmguard.wire.content_parts import AssistantContent, Identifier, TextContent, UserContent
from llmguard.wire.engine_fields import EngineFields
from llmguard.wire.json_schema import JsonSchema, check_schema

Temperature = Annotated[float, Meta(ge=0, le=2)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
TokenCount = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Choices = Annotated[int, Meta(ge=1, le=128)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
StopSequence = Annotated[str, Meta(min_length=1, max_length=512)]
Stop = StopSequence | Annotated[list[StopSequence], Meta(max_length=4)]
LogitBias = dict[Annotated[str, Meta(pattern=r"^[0-9]{1,9}$")], Annotated[float, Meta(ge=-100, le=100)]]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
# Taken as anything, so that it is refused by its name and not for what it holds.
NotAllowed = Annotated[Any, Meta(description="Not allowed here.", extra_json_schema={"type": "null"})]


class FunctionCall(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A call that the model made; `arguments` is JSON text.

    `parsed_arguments` is what an SDK made of them; it comes back with them and is not sent on.
    """

    name: Name
    arguments: str
    parsed_arguments: Any = None

    def __post_init__(self) -> None:
        """Forget what is not sent on."""
        self.parsed_arguments = None


class ToolCall(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tool call in the history; `index`, left over where a client put it together from a stream, is not sent on."""

    id: Identifier
    function: FunctionCall
    type: Literal["function"] = msgspec.field(default_factory=lambda: "function")
    index: int | None = None

    def __post_init__(self) -> None:
        """Forget what is not sent on."""
        self.index = None


class Message(Struct, forbid_unknown_fields=True, tag_field="role", omit_defaults=True):
    """A message of the conversation."""


class SystemMessage(Message, tag="system"):
    """Instructions of the operator."""

    content: TextContent
    name: Name | None = None


class DeveloperMessage(Message, tag="developer"):
    """Instructions of the operator, in the newer spelling."""

    content: TextContent
    name: Name | None = None


class UserMessage(Message, tag="user"):
    """What the user said."""

    content: UserContent
    name: Name | None = None


class AssistantMessage(Message, tag="assistant"):
    """What the model said.

    `annotations`, and `parsed`, which an SDK adds, may come back from an earlier answer and are not sent on.
    """

    content: AssistantContent | None = None
    name: Name | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[ToolCall], Meta(max_length=128)] | None = None
    function_call: FunctionCall | None = None
    annotations: list[Any] | None = None
    parsed: Any = None
    audio: None = None

    def __post_init__(self) -> None:
        """A message must say something; forget what is not sent on."""
        if self.content is None and not self.tool_calls and self.function_call is None and self.refusal is None:
            raise ValueError("an assistant message needs `content` or `tool_calls`")
        self.annotations = self.parsed = None


class ToolMessage(Message, tag="tool"):
    """What a tool answered."""

    content: TextContent
    tool_call_id: Identifier
    name: Name | None = None


class FunctionMessage(Message, tag="function"):
    """What a function answered, in the older spelling."""

    content: str | None
    name: Name


AnyMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class Function(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A function that the model may call."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        """The schema can be sent on."""
        check_schema("parameters", self.parameters)


class Tool(Struct, forbid_unknown_fields=True):
    """A tool that the client runs. Tools that the upstream would run are not known here."""

    type: Literal["function"]
    function: Function


class NamedFunction(Struct, forbid_unknown_fields=True):
    """A function by name."""

    name: Name


class NamedTool(Struct, forbid_unknown_fields=True):
    """A choice of one tool."""

    type: Literal["function"]
    function: NamedFunction


class SchemaFormat(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A JSON schema that the answer must follow."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    schema: JsonSchema | None = None
    description: str | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        """The schema can be sent on."""
        check_schema("schema", self.schema)


class TextFormat(Struct, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Plain text."""


class JsonObjectFormat(Struct, forbid_unknown_fields=True, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(Struct, forbid_unknown_fields=True, tag_field="type", tag="json_schema"):
    """JSON that follows a schema."""

    json_schema: SchemaFormat


class StreamOptions(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a stream carries besides text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(EngineFields, kw_only=True):
    """A chat request.

    Encoding it gives what is sent upstream: a field at its default is left out. An engine's own fields are
    inherited; where the upstream does not know one, the request is refused.
    """

    model: Name
    messages: Annotated[list[AnyMessage], Meta(min_length=1, max_length=2048)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    n: Choices | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Meta(min_length=1, max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Function], Meta(min_length=1, max_length=128)] | None = None
    function_call: Literal["none", "auto"] | NamedFunction | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    user: Identifier | None = None
    safety_identifier: Identifier | None = None
    prompt_cache_key: Identifier | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: NotAllowed = None
    prediction: NotAllowed = None
    web_search_options: NotAllowed = None
    # The guard's own to set: who could choose it would read another tenant's share of a cache.
    cache_salt: NotAllowed = None

    def __post_init__(self) -> None:
        """Rules that bind two fields."""
        super().__post_init__()
        if self.stream_options is not None and not self.stream:
            raise ValueError("`stream_options` needs `stream: true`")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("`max_tokens` and `max_completion_tokens` cannot both be given")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("`top_logprobs` needs `logprobs: true`")
        if not self.tools and self.tool_choice not in (None, "none"):
            raise ValueError("`tool_choice` needs `tools`")
        if self.parallel_tool_calls is not None and not self.tools:
            raise ValueError("`parallel_tool_calls` needs `tools`")
