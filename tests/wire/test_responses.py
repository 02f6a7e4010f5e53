"""The request of `/v1/responses` and the chat request that it stands for."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import response_create_params

from llmguard.errors import Refused
from llmguard.wire.chat import ChatRequest
from llmguard.wire.responses import ResponsesRequest, to_chat
from tests.wire.responses_sdk import request

TOOL = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CHAT_TOOL = {"type": "function", "function": {k: v for k, v in TOOL.items() if k != "type"}}
SCHEMA = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True, "description": "d"}


def chat(**fields: Any) -> dict[str, Any]:
    """The translated request as it would be sent, less its model and messages."""
    sent = msgspec.json.decode(msgspec.json.encode(to_chat(request(**fields))))
    return {name: value for name, value in sent.items() if name not in ("model", "messages")}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {}),
        ({"stream": False}, {"stream": False}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            {"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": True}},
        ),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"max_output_tokens": 9}, {"max_completion_tokens": 9}),
        ({"tools": []}, {}),
        (
            {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
            {"tools": [CHAT_TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
            {"tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        ({"tool_choice": "auto", "parallel_tool_calls": True}, {}),
        ({"text": {}}, {}),
        ({"text": {"format": {"type": "text"}}}, {"response_format": {"type": "text"}}),
        (
            {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
            {"response_format": {"type": "json_object"}, "verbosity": "low"},
        ),
        (
            {"text": {"format": SCHEMA}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {k: v for k, v in SCHEMA.items() if k != "type"},
                }
            },
        ),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"reasoning": {"generate_summary": "concise"}}, {}),
        ({"top_logprobs": 0}, {}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"store": True, "background": False, "truncation": "disabled", "include": []}, {}),
        (
            {"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "service_tier": "auto"},
            {"user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "service_tier": "auto"},
        ),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
    ],
)
def test_settings_are_translated(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    assert chat(**asked) == sent


def test_instructions_come_first_and_a_text_is_the_users() -> None:
    told = msgspec.to_builtins(to_chat(request(instructions="Be brief.", input="hi")).messages)
    assert told == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"previous_response_id": "resp_1", "input": None}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"max_tool_calls": 1}, "max_tool_calls"),
        ({"prompt_cache_options": {"mode": "implicit"}}, "prompt_cache_options"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL, {"type": "mcp", "server_label": "s"}]}, "tools[1].type"),
        ({"tools": [{"type": "custom", "name": "c"}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.type"),
    ],
)
def test_what_needs_the_upstreams_state_or_tools_is_refused_by_name(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as refused:
        request(**asked)
    assert (refused.value.denial.code, refused.value.denial.param) == ("parameter_not_allowed", param)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"input": None}, "`input` is missing"),
        ({"input": []}, "Expected `array` of length >= 1 - at `$.input`"),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "`input` needs an item other than reasoning"),
        ({"stream_options": {}}, "`stream_options` needs `stream: true`"),
        ({"tool_choice": "required"}, "`tool_choice` needs `tools`"),
        ({"tool_choice": "any"}, "Invalid enum value 'any' - at `$.tool_choice`"),
        ({"tool_choice": ["auto"]}, "Expected `object`, got `array` - at `$.tool_choice`"),
        ({"tools": [{"name": "f"}]}, "Object missing required field `type` - at `$.tools[0]`"),
        ({"tools": [{"type": 1}]}, "Expected `str`, got `int` - at `$.tools[0].type`"),
        ({"tools": [CHAT_TOOL]}, "Object contains unknown field `function` - at `$.tools[0]`"),
        ({"temperature": 3}, "Expected `float` <= 2.0 - at `$.temperature`"),
        ({"surprise": 1}, "Object contains unknown field `surprise`"),
    ],
)
def test_what_is_not_valid_is_named_by_its_place(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as invalid:
        request(**asked)
    assert str(invalid.value) == said


def test_every_field_of_the_sdk_is_known() -> None:
    offered = response_create_params.ResponseCreateParamsStreaming.__annotations__
    fields = {field.name for field in msgspec.structs.fields(ResponsesRequest)}
    assert set(response_create_params.ResponseCreateParamsBase.__annotations__) | set(offered) == fields


# --- any JSON -------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers(-3, 130) | st.floats(0, 3) | st.text(max_size=4)
WORDS = st.sampled_from(
    [
        "message",
        "function_call",
        "function_call_output",
        "reasoning",
        "item_reference",
        "user",
        "system",
        "developer",
        "assistant",
        "input_text",
        "input_image",
        "input_file",
        "output_text",
        "refusal",
        "function",
        "web_search",
        "auto",
        "none",
        "required",
        "low",
        "json_schema",
        "text",
    ]
)
KEYS = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "refusal",
        "image_url",
        "file_id",
        "file_url",
        "file_data",
        "filename",
        "detail",
        "call_id",
        "name",
        "arguments",
        "output",
        "id",
        "status",
        "phase",
        "summary",
        "parameters",
        "strict",
        "description",
        "schema",
        "format",
        "verbosity",
        "effort",
        "include_obfuscation",
    ]
)
JSON = st.recursive(
    SCALARS | WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)
FIELDS = st.dictionaries(
    st.sampled_from(sorted(ResponsesRequest.__struct_fields__)) | st.text(max_size=3), JSON, max_size=6
)
TEXTS = st.text(max_size=4)


def struct(required: dict[str, Any], **optional: Any) -> Any:
    return st.fixed_dictionaries(required, optional=optional)


def parts(*kinds: Any) -> Any:
    return TEXTS | st.lists(st.one_of(*kinds), max_size=3)


IN_TEXT = struct({"type": st.just("input_text"), "text": TEXTS})
IN_IMAGE = struct({"type": st.just("input_image"), "image_url": TEXTS | st.none()}, file_id=TEXTS | st.none())
IN_FILE = struct({"type": st.just("input_file"), "file_data": TEXTS}, filename=TEXTS, file_url=TEXTS)
OUT_TEXT = struct({"type": st.just("output_text"), "text": TEXTS}, annotations=st.just([]))
REFUSAL = struct({"type": st.just("refusal"), "refusal": TEXTS})
ITEM = st.one_of(
    struct({"role": st.just("user"), "content": parts(IN_TEXT, IN_IMAGE, IN_FILE)}, type=st.just("message")),
    struct({"role": st.sampled_from(["system", "developer"]), "content": parts(IN_TEXT)}),
    struct({"role": st.just("assistant"), "content": parts(OUT_TEXT, REFUSAL)}, id=TEXTS, status=WORDS),
    struct({"type": st.just("function_call"), "call_id": TEXTS, "name": TEXTS, "arguments": TEXTS}),
    struct({"type": st.just("function_call_output"), "call_id": TEXTS, "output": parts(IN_TEXT, IN_IMAGE)}),
    struct({"type": st.just("reasoning")}, id=TEXTS),
    JSON,
)
NEARLY = struct(
    {"model": st.just("m"), "input": TEXTS | st.lists(ITEM, min_size=1, max_size=5)},
    instructions=TEXTS,
    stream=st.booleans(),
    stream_options=struct({}, include_obfuscation=st.booleans()),
    tools=st.lists(st.just(TOOL), max_size=2),
    tool_choice=st.sampled_from(["auto", "none", "required", {"type": "function", "name": "f"}]),
    parallel_tool_calls=st.booleans(),
    top_logprobs=st.integers(0, 20),
    text=struct({}, format=st.sampled_from([SCHEMA, {"type": "text"}])),
)


def translated(value: Any) -> ChatRequest | None:
    try:
        return to_chat(msgspec.convert(value, ResponsesRequest))
    except (msgspec.ValidationError, Refused):
        return None


@settings(max_examples=400, deadline=None)
@given(JSON | FIELDS.map(lambda fields: {"model": "m", "input": "hi"} | fields) | NEARLY)
def test_any_json_is_refused_or_becomes_a_valid_chat_request(value: Any) -> None:
    chat_request = translated(value)
    if chat_request is not None:
        sent = msgspec.json.encode(chat_request)
        assert msgspec.json.decode(sent, type=ChatRequest) == chat_request
