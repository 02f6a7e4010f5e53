"""The items of a `/v1/responses` input: what they may be, and how they become chat messages.

An item is told by its `type`, which a plain message may leave out, so no tagged union of
msgspec's fits and each item is read by hand: first which kind, then into its struct.
"""

from typing import Annotated, Any, Literal, NoReturn, TypeAlias

import msgspec
from msgspec import Meta, Struct

from llmguard.errors import Denial, Refused
from llmguard.wire import chat, content_parts
from llmguard.wire.chat import Name
from llmguard.wire.content_parts import Identifier

ItemStatus = Literal["in_progress", "completed", "incomplete"]
MOST_CALLS_OF_A_TURN = 128


class Part(Struct, forbid_unknown_fields=True, tag_field="type"):
    """A piece of a message's content."""


class InputText(Part, tag="input_text"):
    """Text that goes in."""

    text: str


class InputImage(Part, tag="input_image"):
    """An image by URL; `file_id` is known only to be refused by its name."""

    image_url: str | None = None
    detail: Literal["auto", "low", "high"] | None = None
    file_id: Any = None


class InputFile(Part, tag="input_file"):
    """A file by value; `file_id` and `file_url` are known only to be refused by their names."""

    file_data: str | None = None
    filename: Identifier | None = None
    file_id: Any = None
    file_url: Any = None


class OutputText(Part, tag="output_text"):
    """Text that an earlier answer gave; only `text` is sent on."""

    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None
    parsed: Any = None


class OutputRefusal(Part, tag="refusal"):
    """A refusal that an earlier answer gave."""

    refusal: str


class Item(Struct, forbid_unknown_fields=True, kw_only=True):
    """One item; `id` and `status` come back from an earlier answer and are not sent on."""

    id: Identifier | None = None
    status: ItemStatus | None = None


class MessageItem(Item, tag_field="role", kw_only=True):
    """A message."""

    type: Literal["message"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None


InputParts = Annotated[list[InputText | InputImage | InputFile], Meta(min_length=1, max_length=256)]
TextParts = Annotated[list[InputText], Meta(min_length=1, max_length=256)]
OutputParts = Annotated[list[OutputText | OutputRefusal], Meta(max_length=256)]


class UserItem(MessageItem, tag="user", kw_only=True):
    """What the user said."""

    content: str | InputParts


class SystemItem(MessageItem, tag="system", kw_only=True):
    """Instructions of the operator."""

    content: str | TextParts


class DeveloperItem(MessageItem, tag="developer", kw_only=True):
    """Instructions of the operator, in the newer spelling."""

    content: str | TextParts


class AssistantItem(MessageItem, tag="assistant", kw_only=True):
    """What the model said."""

    content: str | OutputParts


class FunctionCallItem(Item, kw_only=True):
    """A call that the model made; `arguments` is JSON text."""

    type: Literal["function_call"]
    call_id: Identifier
    name: Name
    arguments: str
    caller: None = None
    namespace: None = None
    parsed_arguments: Any = None


class FunctionOutputItem(Item, kw_only=True):
    """What a function answered."""

    type: Literal["function_call_output"]
    call_id: Identifier
    output: str | InputParts
    name: Name | None = None
    caller: None = None
    namespace: None = None


_MESSAGE: Any = UserItem | SystemItem | DeveloperItem | AssistantItem
_SHAPES: dict[str, Any] = {
    "message": _MESSAGE,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionOutputItem,
}
ChatPart: TypeAlias = (
    content_parts.TextPart | content_parts.ImagePart | content_parts.AudioPart | content_parts.FilePart
)


def refuse(param: str, why: str = "is not allowed here") -> NoReturn:
    """Refuse what would need state or tools on the upstream's side."""
    raise Refused(Denial("parameter_not_allowed", f"'{param}' {why}.", param=param, final=True))


def read(value: Any, shape: Any, place: str) -> Any:
    """The value as this type; raises ValidationError, its path led by `place`."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        said = str(error)
        what, found, path = said.rpartition("`$")
        # A path stands at the very end; a value that msgspec repeats stands in quotes.
        at = f"{what}`$.{place}{path}" if found and said.endswith("`") else f"{said} - at `$.{place}`"
        raise msgspec.ValidationError(at) from error


def read_items(items: list[Any]) -> list[Item]:
    """The items of a request, less its reasoning; raises ValidationError, or Refused for a kind unknown here.

    Reasoning is dropped unread: a client hands it back with the rest of an answer, and a chat has no
    place for it.
    """
    kept = []
    for index, item in enumerate(items):
        place = f"input[{index}]"
        kind = "message"
        if isinstance(item, Item):  # read already: msgspec.structs.replace builds anew
            kept.append(item)
            continue
        if isinstance(item, dict) and item.get("type") is not None:
            kind = read(item["type"], str, f"{place}.type")
        if kind == "reasoning":
            continue
        if kind not in _SHAPES:
            refuse(f"{place}.type", "names an item that is not allowed here")
        typed = read(item, _SHAPES[kind], place)
        _check_parts(typed, place)
        kept.append(typed)
    return kept


def _check_parts(item: Item, place: str) -> None:
    """Refuse a part that points to a file kept elsewhere, or that a chat cannot carry."""
    if isinstance(item, FunctionOutputItem):
        for index, part in enumerate(item.output if isinstance(item.output, list) else ()):
            if not isinstance(part, InputText):
                refuse(f"{place}.output[{index}].type", "must be 'input_text' here")
    if not isinstance(item, UserItem) or isinstance(item.content, str):
        return
    for index, part in enumerate(item.content):
        at = f"{place}.content[{index}]"
        for name in ("file_id", "file_url"):
            if getattr(part, name, None) is not None:
                refuse(f"{at}.{name}")
        for kind, name in ((InputImage, "image_url"), (InputFile, "file_data")):
            if isinstance(part, kind) and getattr(part, name) is None:
                raise msgspec.ValidationError(f"Object missing required field `{name}` - at `$.{at}`")


def to_messages(items: list[Item]) -> list[chat.AnyMessage]:
    """The items as chat messages; what the model said and called in one turn becomes one message."""
    messages: list[chat.AnyMessage] = []
    for item in items:
        if isinstance(item, FunctionCallItem):
            _add_call(messages, item)
        elif isinstance(item, FunctionOutputItem):
            messages.append(chat.ToolMessage(content=_text(item.output), tool_call_id=item.call_id))
        elif isinstance(item, AssistantItem):
            messages.append(_assistant(item.content))
        elif isinstance(item, UserItem):
            messages.append(chat.UserMessage(content=_content(item.content)))
        elif isinstance(item, SystemItem):
            messages.append(chat.SystemMessage(content=_text(item.content)))
        elif isinstance(item, DeveloperItem):
            messages.append(chat.DeveloperMessage(content=_text(item.content)))
    return messages


def _add_call(messages: list[chat.AnyMessage], item: FunctionCallItem) -> None:
    call = chat.ToolCall(id=item.call_id, function=chat.FunctionCall(name=item.name, arguments=item.arguments))
    last = messages[-1] if messages else None
    if not isinstance(last, chat.AssistantMessage) or len(last.tool_calls or ()) == MOST_CALLS_OF_A_TURN:
        messages.append(chat.AssistantMessage(tool_calls=[call]))
    elif last.tool_calls is None:
        last.tool_calls = [call]
    else:
        last.tool_calls.append(call)


def _assistant(content: str | list[OutputText | OutputRefusal]) -> chat.AssistantMessage:
    if isinstance(content, str):
        return chat.AssistantMessage(content=content)
    texts: list[content_parts.TextPart | content_parts.RefusalPart] = []
    refusals = []
    for part in content:
        if isinstance(part, OutputText):
            texts.append(content_parts.TextPart(text=part.text))
        else:
            refusals.append(part.refusal)
    refusal = "".join(refusals) if refusals else None
    if len(texts) > 1:
        return chat.AssistantMessage(content=texts, refusal=refusal)
    # One text is sent as a string, which every chat template understands.
    text = "".join(part.text for part in content if isinstance(part, OutputText))
    return chat.AssistantMessage(content=None if refusals and not texts else text, refusal=refusal)


def _text(
    content: str | list[InputText] | list[InputText | InputImage | InputFile],
) -> str | list[content_parts.TextPart]:
    if isinstance(content, str):
        return content
    texts = [content_parts.TextPart(text=part.text) for part in content if isinstance(part, InputText)]
    return texts[0].text if len(texts) == 1 else texts


def _content(content: str | list[InputText | InputImage | InputFile]) -> str | list[ChatPart]:
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content]
    first = parts[0]
    return first.text if len(parts) == 1 and isinstance(first, content_parts.TextPart) else parts


def _part(part: InputText | InputImage | InputFile) -> ChatPart:
    if isinstance(part, InputText):
        return content_parts.TextPart(text=part.text)
    if isinstance(part, InputImage):
        return content_parts.ImagePart(image_url=content_parts.ImageUrl(url=part.image_url or "", detail=part.detail))
    return content_parts.FilePart(file=content_parts.InlineFile(file_data=part.file_data or "", filename=part.filename))
