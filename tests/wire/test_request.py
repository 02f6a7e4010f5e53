"""What a bad body is answered with: code, parameter, and a sentence that a person can act on."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmguard.errors import Denial, Refused
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.request import parse
from llmguard.wire.routes import ENDPOINTS

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS if endpoint.to_model is not None}
HI = {"role": "user", "content": "hi"}
FUNCTION = {"type": "function", "function": {"name": "f"}}
LEAST: dict[str, dict[str, Any]] = {
    "chat": {"model": "chat", "messages": [HI]},
    "completions": {"model": "chat", "prompt": "hi"},
    "responses": {"model": "chat", "input": "hi"},
    "classify": {"model": "chat", "input": "hi"},
    "embeddings": {"model": "chat", "input": "hi"},
}
NOT_JSON = "The request body is not valid JSON: "


def denial(body: bytes, name: str = "chat") -> Denial:
    endpoint: Endpoint = BY_NAME[name]
    assert endpoint.request is not None
    assert endpoint.to_model is not None
    with pytest.raises(Refused) as refused:
        endpoint.to_model(parse(body, endpoint.request))
    return refused.value.denial


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def said(name: str, fields: dict[str, Any]) -> tuple[str, str | None, str]:
    found = denial(dumps(LEAST[name] | fields), name)
    assert found.row.status == 400
    return found.code, found.param, found.text


@pytest.mark.parametrize("name", LEAST)
def test_the_least_body_is_valid(name: str) -> None:
    endpoint = BY_NAME[name]
    assert endpoint.request is not None
    assert endpoint.to_model is not None
    assert endpoint.to_model(parse(dumps(LEAST[name]), endpoint.request)).model == "chat"


# --- one field is wrong: alike in every endpoint that has it ---------------------------------

ALL = ("chat", "completions", "responses")
OLDER = ("chat", "completions")
FIELDS: list[tuple[tuple[str, ...], dict[str, Any], str, str]] = [
    (ALL, {"temperature": 2.1}, "temperature", "'temperature' must be at most 2."),
    (ALL, {"temperature": -0.1}, "temperature", "'temperature' must be at least 0."),
    (ALL, {"temperature": "1"}, "temperature", "'temperature' must be a number or null, not a string."),
    (ALL, {"temperature": True}, "temperature", "'temperature' must be a number or null, not a boolean."),
    (ALL, {"temperature": [1]}, "temperature", "'temperature' must be a number or null, not an array."),
    (ALL, {"top_p": 1.01}, "top_p", "'top_p' must be at most 1."),
    (ALL, {"top_p": -1}, "top_p", "'top_p' must be at least 0."),
    (OLDER, {"n": 0}, "n", "'n' must be at least 1."),
    (OLDER, {"n": 129}, "n", "'n' must be at most 128."),
    (OLDER, {"n": 1.0}, "n", "'n' must be an integer or null, not a decimal."),
    (OLDER, {"n": True}, "n", "'n' must be an integer or null, not a boolean."),
    (OLDER, {"n": "1"}, "n", "'n' must be an integer or null, not a string."),
    (OLDER, {"presence_penalty": 2.5}, "presence_penalty", "'presence_penalty' must be at most 2."),
    (OLDER, {"frequency_penalty": -2.5}, "frequency_penalty", "'frequency_penalty' must be at least -2."),
    (OLDER, {"max_tokens": 0}, "max_tokens", "'max_tokens' must be at least 1."),
    (OLDER, {"max_tokens": 2**31}, "max_tokens", "'max_tokens' must be at most 2147483647."),
    (OLDER, {"max_tokens": 2**64}, "max_tokens", "'max_tokens' must be at most 2147483647."),
    (OLDER, {"max_tokens": -(10**400)}, "max_tokens", "'max_tokens' must be at least 1."),
    (OLDER, {"max_tokens": 1.0}, "max_tokens", "'max_tokens' must be an integer or null, not a decimal."),
    (OLDER, {"seed": 2**63}, "seed", "'seed' must be at most 9223372036854775807."),
    (OLDER, {"seed": -(2**63) - 1}, "seed", "'seed' must be at least -9223372036854775808."),
    (OLDER, {"logit_bias": {"x": 1}}, "logit_bias", "A key of 'logit_bias' must match the pattern ^[0-9]{1,9}$."),
    (OLDER, {"logit_bias": {"5": 101}}, "logit_bias", "A value of 'logit_bias' must be at most 100."),
    (OLDER, {"logit_bias": {"5": "1"}}, "logit_bias", "A value of 'logit_bias' must be a number, not a string."),
    (OLDER, {"logit_bias": [1]}, "logit_bias", "'logit_bias' must be an object or null, not an array."),
    (OLDER, {"stop": ["a"] * 5}, "stop", "'stop' must have at most 4 items."),
    (OLDER, {"stop": ""}, "stop", "'stop' must have at least 1 character."),
    (OLDER, {"stop": "x" * 513}, "stop", "'stop' must have at most 512 characters."),
    (OLDER, {"stop": ["x", 1]}, "stop[1]", "'stop[1]' must be a string, not an integer."),
    (OLDER, {"top_k": -2}, "top_k", "'top_k' must be at least -1."),
    (ALL, {"user": "x" * 513}, "user", "'user' must have at most 512 characters."),
    (ALL, {"user": 1}, "user", "'user' must be a string or null, not an integer."),
    (ALL, {"stream": 1}, "stream", "'stream' must be a boolean or null, not an integer."),
    (ALL, {"stream": "true"}, "stream", "'stream' must be a boolean or null, not a string."),
    (ALL, {"stream_options": {}}, "stream_options", "'stream_options' needs 'stream: true'."),
    (ALL, {"model": 1}, "model", "'model' must be a string, not an integer."),
    (ALL, {"model": None}, "model", "'model' must be a string, not null."),
    (ALL, {"model": ""}, "model", "'model' must have at least 1 character."),
    (ALL, {"model": "x" * 257}, "model", "'model' must have at most 256 characters."),
]
CASES = [(name, *case) for names, *case in FIELDS for name in names]


@pytest.mark.parametrize(("name", "fields", "param", "message"), CASES)
def test_a_field_that_many_have(name: str, fields: dict[str, Any], param: str, message: str) -> None:
    assert said(name, fields) == ("invalid_value", param, message)


# --- chat -----------------------------------------------------------------------------------


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [HI, fields]}


def part(**fields: Any) -> dict[str, Any]:
    return message(role="user", content=[fields])


ROLES = "'system', 'developer', 'user', 'assistant', 'tool' or 'function'"
CHAT: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": None}, "messages", "'messages' must be an array, not null."),
    ({"messages": "hi"}, "messages", "'messages' must be an array, not a string."),
    ({"messages": []}, "messages", "'messages' must have at least 1 item."),
    ({"messages": [HI] * 2049}, "messages", "'messages' must have at most 2048 items."),
    ({"messages": ["hi"]}, "messages[0]", "'messages[0]' must be an object, not a string."),
    (message(content="x"), "messages[1].role", "'messages[1].role' is missing."),
    (message(role="root", content="x"), "messages[1].role", f"'messages[1].role' must be {ROLES}."),
    (message(role=1, content="x"), "messages[1].role", "'messages[1].role' must be a string, not an integer."),
    (message(role="user"), "messages[1].content", "'messages[1].content' is missing."),
    (
        message(role="user", content=1),
        "messages[1].content",
        "'messages[1].content' must be a string or an array, not an integer.",
    ),
    (message(role="user", content=[]), "messages[1].content", "'messages[1].content' must have at least 1 item."),
    (
        message(role="user", content="x", name="n" * 257),
        "messages[1].name",
        "'messages[1].name' must have at most 256 characters.",
    ),
    (
        message(role="assistant"),
        "messages[1]",
        "'messages[1]' is not valid: an assistant message needs 'content' or 'tool_calls'.",
    ),
    (message(role="tool", content="x"), "messages[1].tool_call_id", "'messages[1].tool_call_id' is missing."),
    (part(text="x"), "messages[1].content[0].type", "'messages[1].content[0].type' is missing."),
    (
        part(type="refusal", refusal="x"),
        "messages[1].content[0].type",
        "'messages[1].content[0].type' must be 'text', 'image_url', 'input_audio' or 'file'.",
    ),
    (
        message(role="assistant", content=[{"type": "file"}]),
        "messages[1].content[0].type",
        "'messages[1].content[0].type' must be 'text' or 'refusal'.",
    ),
    (
        part(type="image_url", image_url={"url": "http://x", "detail": "all"}),
        "messages[1].content[0].image_url.detail",
        "'messages[1].content[0].image_url.detail' must be 'auto', 'high' or 'low'.",
    ),
    ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "'top_logprobs' must be at most 20."),
    ({"top_logprobs": 1}, "top_logprobs", "'top_logprobs' needs 'logprobs: true'."),
    ({"logprobs": 1}, "logprobs", "'logprobs' must be a boolean or null, not an integer."),
    (
        {"max_tokens": 1, "max_completion_tokens": 1},
        "max_tokens",
        "'max_tokens' and 'max_completion_tokens' cannot both be given.",
    ),
    ({"tools": []}, "tools", "'tools' must have at least 1 item."),
    ({"tools": [FUNCTION] * 129}, "tools", "'tools' must have at most 128 items."),
    ({"tools": [{}]}, "tools[0].type", "'tools[0].type' is missing."),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "'tools[0].type' must be 'function'."),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "'tools[0].function' is missing."),
    (
        {"functions": [{"name": "f" * 129}]},
        "functions[0].name",
        "'functions[0].name' must have at most 128 characters.",
    ),
    ({"tool_choice": "auto"}, "tool_choice", "'tool_choice' needs 'tools'."),
    ({"tool_choice": "any"}, "tool_choice", "'tool_choice' must be 'auto', 'none' or 'required'."),
    ({"tool_choice": 1}, "tool_choice", "'tool_choice' must be a string, an object or null, not an integer."),
    ({"tool_choice": {"type": "x"}}, "tool_choice.type", "'tool_choice.type' must be 'function'."),
    ({"parallel_tool_calls": True}, "parallel_tool_calls", "'parallel_tool_calls' needs 'tools'."),
    (
        {"response_format": {"type": "xml"}},
        "response_format.type",
        "'response_format.type' must be 'text', 'json_object' or 'json_schema'.",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": ""}}},
        "response_format.json_schema.name",
        "'response_format.json_schema.name' must have at least 1 character.",
    ),
    ({"verbosity": "loud"}, "verbosity", "'verbosity' must be 'high', 'low' or 'medium'."),
    ({"modalities": ["video"]}, "modalities[0]", "'modalities[0]' must be 'audio' or 'text'."),
    ({"metadata": {"k" * 65: "v"}}, "metadata", "A key of 'metadata' must have at most 64 characters."),
    ({"metadata": {"k": "v" * 513}}, "metadata", "A value of 'metadata' must have at most 512 characters."),
    (
        {"metadata": {str(number): "" for number in range(17)}},
        "metadata",
        "'metadata' must have at most 16 entries.",
    ),
]


@pytest.mark.parametrize(("fields", "param", "message"), CHAT)
def test_a_chat(fields: dict[str, Any], param: str, message: str) -> None:
    assert said("chat", fields) == ("invalid_value", param, message)


# --- completions and responses --------------------------------------------------------------

OTHERS: list[tuple[str, dict[str, Any], str, str]] = [
    ("completions", {"prompt": None}, "prompt", "'prompt' must be a string or an array, not null."),
    ("completions", {"prompt": []}, "prompt", "'prompt' must have at least 1 item."),
    ("completions", {"prompt": ["x"] * 129}, "prompt", "'prompt' must have at most 128 items."),
    ("completions", {"prompt": [1, 2]}, "prompt[0]", "'prompt[0]' must be a string, not an integer."),
    ("completions", {"prompt": [[1, 2]]}, "prompt[0]", "'prompt[0]' must be a string, not an array."),
    ("completions", {"logprobs": 6}, "logprobs", "'logprobs' must be at most 5."),
    ("completions", {"logprobs": True}, "logprobs", "'logprobs' must be an integer or null, not a boolean."),
    ("completions", {"n": 2, "best_of": 1}, "best_of", "'best_of' must be at least 'n'."),
    ("completions", {"best_of": 2, "stream": True}, "best_of", "'best_of' cannot be streamed."),
    ("responses", {"input": None}, "input", "'input' is missing."),
    ("responses", {"input": []}, "input", "'input' must have at least 1 item."),
    ("responses", {"input": [HI] * 2048}, "input", "'input' must have at most 2047 items."),
    ("responses", {"input": [1]}, "input[0]", "'input[0]' must be an object, not an integer."),
    ("responses", {"input": [{"role": "user"}]}, "input[0].content", "'input[0].content' is missing."),
    (
        "responses",
        {"input": [HI, {"role": "root", "content": "x"}]},
        "input[1].role",
        "'input[1].role' has a value that is not allowed.",
    ),
    ("responses", {"max_output_tokens": 0}, "max_output_tokens", "'max_output_tokens' must be at least 1."),
    ("responses", {"top_logprobs": 21}, "top_logprobs", "'top_logprobs' must be at most 20."),
    ("responses", {"tool_choice": "required"}, "tool_choice", "'tool_choice' needs 'tools'."),
    ("responses", {"tools": [FUNCTION] * 129}, "tools", "'tools' must have at most 128 items."),
    ("responses", {"tools": [{"type": "function"}]}, "tools[0].name", "'tools[0].name' is missing."),
    ("responses", {"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", "missing"),
    ("responses", {"truncation": "all"}, "truncation", "'truncation' must be 'auto' or 'disabled'."),
]


@pytest.mark.parametrize(("name", "fields", "param", "message"), OTHERS)
def test_the_other_endpoints(name: str, fields: dict[str, Any], param: str, message: str) -> None:
    code, at, text = said(name, fields)
    assert (code, at) == ("invalid_value", param)
    assert text == (f"'{param}' is missing." if message == "missing" else message)


# --- what is not known, and what is known and not allowed ------------------------------------

UNKNOWN: list[tuple[str, dict[str, Any], str]] = [
    ("chat", {"foo": 1}, "foo"),
    ("completions", {"messages": [HI]}, "messages"),
    ("responses", {"messages": [HI]}, "messages"),
    ("chat", {"messages": [HI | {"foo": 1}]}, "messages[0].foo"),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "", "a": 1}]}]}, "content[0].a"),
    ("chat", {"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
    ("chat", {"tools": [FUNCTION | {"cache": 1}]}, "tools[0].cache"),
    ("responses", {"input": [HI | {"foo": 1}]}, "input[0].foo"),
    ("responses", {"reasoning": {"foo": 1}}, "reasoning.foo"),
]


@pytest.mark.parametrize(("name", "fields", "param"), UNKNOWN)
def test_an_unknown_parameter(name: str, fields: dict[str, Any], param: str) -> None:
    code, at, text = said(name, fields)
    assert code == "unknown_parameter"
    assert at is not None
    assert at.endswith(param)
    assert text == f"'{at}' is not a known parameter."


NOT_ALLOWED: list[tuple[str, dict[str, Any]]] = [
    ("chat", {"store": True}),
    ("chat", {"service_tier": "priority"}),
    ("chat", {"audio": {"voice": "x", "format": "mp3"}}),
    ("chat", {"web_search_options": {}}),
    ("chat", {"prediction": {}}),
    ("chat", {"modalities": ["text", "audio"]}),
    ("responses", {"previous_response_id": "resp_1"}),
    ("responses", {"conversation": "conv_1"}),
    ("responses", {"background": True}),
    ("responses", {"truncation": "auto"}),
    ("responses", {"include": ["reasoning.encrypted_content"]}),
    ("responses", {"service_tier": "flex"}),
]


@pytest.mark.parametrize(("name", "fields"), NOT_ALLOWED)
def test_a_parameter_that_is_not_allowed(name: str, fields: dict[str, Any]) -> None:
    (param,) = fields
    assert said(name, fields) == ("parameter_not_allowed", param, f"'{param}' is not allowed here.")


@pytest.mark.parametrize(("name", "param"), [("chat", "messages"), ("completions", "prompt"), ("responses", "input")])
def test_a_missing_parameter(name: str, param: str) -> None:
    for missing in ("model", param):
        found = denial(dumps({key: value for key, value in LEAST[name].items() if key != missing}), name)
        assert (found.code, found.param, found.text) == ("invalid_value", missing, f"'{missing}' is missing.")


# --- bytes that are not one JSON object ------------------------------------------------------

CHAT_BODY = dumps(LEAST["chat"])


def field(value: bytes, name: bytes = b"temperature") -> bytes:
    """The least chat with this text as a field's value."""
    return CHAT_BODY[:-1] + b',"' + name + b'":' + value + b"}"


BYTES: list[tuple[bytes, str]] = [
    (b"", "The request body is empty."),
    (b" ", NOT_JSON + "it ends too early at line 1 column 1."),
    (b"null", "The request body must be an object, not null."),
    (b"[]", "The request body must be an object, not an array."),
    (b"1", "The request body must be an object, not an integer."),
    (b"1.5", "The request body must be an object, not a decimal."),
    (b'"x"', "The request body must be an object, not a string."),
    (b"true", "The request body must be an object, not a boolean."),
    (b"{", NOT_JSON + "it ends too early at line 1 column 1."),
    (CHAT_BODY[:-1], NOT_JSON + f"it ends too early at line 1 column {len(CHAT_BODY) - 1}."),
    (CHAT_BODY + b"x", NOT_JSON + f"trailing characters at line 1 column {len(CHAT_BODY) + 1}."),
    (CHAT_BODY + CHAT_BODY, NOT_JSON + f"trailing characters at line 1 column {len(CHAT_BODY) + 1}."),
    (CHAT_BODY + b"\0", NOT_JSON + f"trailing characters at line 1 column {len(CHAT_BODY) + 1}."),
    (b"\xef\xbb\xbf" + CHAT_BODY, NOT_JSON + "it begins with a byte order mark."),
    (CHAT_BODY.decode().encode("utf-16"), NOT_JSON + "expected a value at line 1 column 1."),
    (b'{"model":"\xff"}', NOT_JSON + "it is not UTF-8 at line 1 column 11."),
    (b'{"model":"\xed\xa0\x80"}', NOT_JSON + "it is not UTF-8 at line 1 column 11."),
    (b'{"model":"\xc0\xaf"}', NOT_JSON + "it is not UTF-8 at line 1 column 11."),
    (b'{"model":"\\ud800"}', NOT_JSON + "half of a surrogate pair stands alone at line 1 column 17."),
    (b'{"model":"\\udc00"}', NOT_JSON + "half of a surrogate pair stands alone at line 1 column 16."),
    (b'{"\\ud800":1}', NOT_JSON + "half of a surrogate pair stands alone at line 1 column 9."),
    (b'{"model":"a\nb"}', NOT_JSON + "a control character stands in a string at line 2 column 0."),
    (b"{'model':1}", NOT_JSON + "a key must be a string at line 1 column 2."),
    (b'{"model":1,}', NOT_JSON + "trailing comma at line 1 column 12."),
    (b'{"model":"\\q"}', NOT_JSON + "invalid escape at line 1 column 12."),
    (b'{"model":01}', NOT_JSON + "invalid number at line 1 column 11."),
    (b'{"model":tru}', NOT_JSON + "expected true, false or null at line 1 column 13."),
    (b'{"model":NaN}', NOT_JSON + "expected a value at line 1 column 10."),
    (b'{"model":Infinity}', NOT_JSON + "expected a value at line 1 column 10."),
    (b'{"model":-Infinity}', NOT_JSON + "invalid number at line 1 column 11."),
    (b"{}//", NOT_JSON + "trailing characters at line 1 column 3."),
    (b"[" * 5000, NOT_JSON + "it is nested more than 200 deep at line 1 column 202."),
    (b'{"a":' * 5000, NOT_JSON + "it is nested more than 200 deep at line 1 column 1006."),
    (b'{"n":' + b"9" * 5000 + b"}", NOT_JSON + "number out of range at line 1 column 4307."),
]


@pytest.mark.parametrize(("body", "message"), BYTES)
def test_bytes_that_are_not_one_json_object(body: bytes, message: str) -> None:
    found = denial(body)
    assert (found.code, found.param, found.text) == ("invalid_value", None, message)


def test_nesting_within_a_schema_is_bounded() -> None:
    tools = b'[{"type":"function","function":{"name":"f","parameters":' + b'{"x":' * 205 + b"1" + b"}" * 205 + b"}}]"
    assert "nested more than 200 deep" in denial(field(tools, b"tools")).text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":"a","model":"b"}', "model"),
        (b'{"model":"a","m\\u006fdel":"b"}', "model"),
        (b'{"model":"a","messages":[{"role":"user","content":"x","role":"system"}]}', "role"),
        (b'{"model":"a","messages":[{"role":"user","content":"x","r\\u006Fle":"system"}]}', "role"),
        (field(b'{"5":1,"5":2}', b"logit_bias"), "5"),
        (field(b'[{"type":"function","function":{"name":"f","parameters":{"a":{"x":1,"x":2}}}}]', b"tools"), "x"),
    ],
)
def test_a_key_that_is_given_twice(body: bytes, param: str) -> None:
    found = denial(body)
    assert (found.code, found.param, found.text) == ("invalid_value", param, f"'{param}' is given twice.")


@pytest.mark.parametrize("number", [b"1e999", b"1E+400", b"-1e999", b"9" * 400 + b".0"])
def test_a_number_beyond_any_float(number: bytes) -> None:
    assert denial(field(number)).param == "temperature"
    assert denial(field(number, b"n")).param == "n"
    tools = b'[{"type":"function","function":{"name":"f","parameters":{"maximum":[' + number + b"]}}}]"
    found = denial(field(tools, b"tools"))
    assert found.param == "tools[0].function.parameters"
    assert found.text == "'tools[0].function.parameters' holds a number that is too large."
    tools = b'[{"type":"function","name":"f","parameters":{"maximum":' + number + b"}}]"
    found = denial(b'{"model":"chat","input":"hi","tools":' + tools + b"}", "responses")
    assert found.param == "tools[0].parameters"
    schema = b'{"format":{"type":"json_schema","name":"f","schema":{"maximum":' + number + b"}}}"
    found = denial(b'{"model":"chat","input":"hi","text":' + schema + b"}", "responses")
    assert found.param == "text.format.schema"


# --- what a client wrote does not come back ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "param"),
    [
        ("k" * 100_000, "k" * 64),
        ("a\nb", "a\\nb"),
        ("a\x00\x1b[31m", "a\\x00\\x1b[31m"),
        ("\u202egpj", "\\u202egpj"),
        ("fo`o", "fo`o"),
        ("x` - at `$." + "y" * 100_000, "x` - at `$." + "y" * 53),
    ],
)
def test_a_clients_own_name_is_short_and_printable(name: str, param: str) -> None:
    found = denial(dumps(LEAST["chat"] | {name: 1}))
    assert (found.code, found.param) == ("unknown_parameter", param)


MARK = "marker-of-the-client"
VALUES = st.sampled_from([MARK, [MARK], {"x": MARK}, [{"type": MARK}], {"type": MARK}, [{"role": MARK}], {"5": MARK}])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(BY_NAME)), st.data())
def test_no_message_repeats_a_value(name: str, data: st.DataObject) -> None:
    shape = BY_NAME[name].request
    assert shape is not None
    fields = [known for known in sorted(shape.__struct_fields__) if known not in ("model", "user", "metadata")]
    wrong = data.draw(st.dictionaries(st.sampled_from(fields), VALUES, min_size=1, max_size=3))
    endpoint = BY_NAME[name]
    try:
        assert endpoint.to_model is not None
        endpoint.to_model(parse(dumps(LEAST[name] | wrong), shape))
    except Refused as refused:
        found = refused.denial
        assert MARK not in found.text
        assert found.row.status == 400
        assert found.param is not None
        assert found.text.endswith(".")
        assert "`" not in found.text
