"""Input items become chat messages."""

from typing import Any

import msgspec
import pytest

from llmguard.errors import Refused
from llmguard.wire.chat import ChatRequest
from llmguard.wire.responses import ResponsesRequest, to_chat
from tests.wire.responses_sdk import client, completion, renderer, request, strict

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
CHAT_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def messages(*items: Any, **fields: Any) -> Any:
    chat = to_chat(request(input=list(items), **fields))
    return msgspec.json.decode(msgspec.json.encode(chat))["messages"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a"}),
        ({"type": "message", "role": "system", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "developer", "content": "a"}, {"role": "developer", "content": "a"}),
        ({"role": "assistant", "content": "a", "phase": "final_answer"}, {"role": "assistant", "content": "a"}),
        (
            {"type": None, "role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"role": "user", "content": "a"},
        ),
        (
            {"role": "system", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "a"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
                    },
                ],
            },
        ),
        (
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}],
            },
            {"role": "assistant", "content": "a"},
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "assistant", "refusal": "no"},
        ),
        ({"role": "assistant", "content": []}, {"role": "assistant", "content": ""}),
        (CALL | {"id": "fc_1", "status": "completed"}, {"role": "assistant", "tool_calls": [CHAT_CALL]}),
        (
            {"type": "function_call_output", "call_id": "c1", "output": "7", "id": None, "status": "completed"},
            {"role": "tool", "tool_call_id": "c1", "content": "7"},
        ),
        (
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "7"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "7"},
        ),
    ],
)
def test_an_item_becomes_a_message(item: Any, message: Any) -> None:
    assert messages(item) == [message]


def test_calls_of_one_turn_are_one_message_and_its_text_belongs_to_it() -> None:
    user = {"role": "user", "content": "a"}
    said = {"role": "assistant", "content": "Wait."}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    answer = {"type": "function_call_output", "call_id": "c1", "output": "7"}
    told = messages(user, reasoning, said, CALL, reasoning, CALL | {"call_id": "c2"}, answer, CALL)
    assert told == [
        user,
        said | {"tool_calls": [CHAT_CALL, CHAT_CALL | {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "7"},
        {"role": "assistant", "tool_calls": [CHAT_CALL]},
    ]


def test_a_turn_with_more_calls_than_a_message_can_hold_is_told_in_two() -> None:
    assert [len(message["tool_calls"]) for message in messages(*[CALL] * 130)] == [128, 2]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "input[0].type"),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, "input[0].type"),
        ({"type": "user", "content": "a"}, "input[0].type"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}, "input[0].content[0].file_id"),
        ({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}, "input[0].content[0].file_id"),
        ({"role": "user", "content": [{"type": "input_file", "file_url": "http://f"}]}, "input[0].content[0].file_url"),
        (
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "x"}]},
            "input[0].output[0].type",
        ),
    ],
)
def test_what_a_chat_cannot_carry_is_refused_by_name(item: Any, param: str) -> None:
    with pytest.raises(Refused) as refused:
        messages(item)
    assert (refused.value.denial.code, refused.value.denial.param) == ("parameter_not_allowed", param)


@pytest.mark.parametrize(
    ("item", "place"),
    [
        (5, "$.input[1]"),
        ({"type": 5}, "$.input[1].type"),
        ({"content": "a"}, "$.input[1]"),
        ({"role": "critic", "content": "a"}, "$.input[1].role"),
        ({"role": "user"}, "$.input[1]"),
        ({"role": "user", "content": []}, "$.input[1].content"),
        ({"role": "user", "content": [{"type": "output_text", "text": "a"}]}, "$.input[1].content[0].type"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "$.input[1].content[0]"),
        ({"role": "user", "content": [{"type": "input_file", "filename": "a"}]}, "$.input[1].content[0]"),
        ({"role": "user", "content": "a", "name": "b"}, "$.input[1]"),
        (CALL | {"call_id": 5}, "$.input[1].call_id"),
    ],
)
def test_an_item_that_is_not_valid_is_named_by_its_place(item: Any, place: str) -> None:
    with pytest.raises(msgspec.ValidationError) as invalid:
        request(input=[{"role": "user", "content": "a"}, item])
    assert str(invalid.value).endswith(f" - at `{place}`")


def test_a_request_with_its_items_read_can_be_built_anew() -> None:
    asked = request(input=[{"role": "user", "content": "a"}], tools=[{"type": "function", "name": "f"}])
    assert to_chat(msgspec.structs.replace(asked, model="other")).messages == to_chat(asked).messages


@pytest.mark.parametrize("dump", [{}, {"exclude_unset": True}, {"exclude_none": True}])
def test_the_output_of_an_answer_is_the_input_of_the_next_turn(dump: dict[str, bool]) -> None:
    given = completion(
        "tool_calls", content="Wait.", refusal="No.", tool_calls=[CHAT_CALL], logprobs={"content": [_logprob()]}
    )
    answer = strict(renderer(top_logprobs=1).whole(given))
    (message,) = messages(*[item.model_dump(mode="json", **dump) for item in answer.output])
    assert message == {"role": "assistant", "content": "Wait.", "refusal": "No.", "tool_calls": [CHAT_CALL]}


def test_the_sdk_takes_a_parsed_answer_as_input() -> None:
    asked: list[ChatRequest] = []

    def model(chat: ChatRequest) -> Any:
        asked.append(chat)
        return completion("tool_calls", content="Wait.", tool_calls=[CHAT_CALL])

    tool: Any = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    with client(model) as sdk:
        first = sdk.responses.parse(model="m", input="hi", tools=[tool])
        output: Any = {"type": "function_call_output", "call_id": "c1", "output": "7"}
        sdk.responses.parse(model="m", input=[*first.output, output], tools=[tool])  # type: ignore[list-item]
    assert [type(message).__name__ for message in asked[1].messages] == ["AssistantMessage", "ToolMessage"]


def test_every_field_of_a_parsed_item_is_known() -> None:
    with client(lambda _: completion(content="a", tool_calls=[CHAT_CALL])) as sdk:
        parsed = sdk.responses.parse(model="m", input="hi")
    items = [item.model_dump(mode="json", warnings=False) for item in parsed.output]
    assert isinstance(request(input=items), ResponsesRequest)


def _logprob() -> dict[str, Any]:
    return {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}
