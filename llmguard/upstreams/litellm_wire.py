"""Our requests as litellm's arguments, its answers as ours. Pure; litellm is not imported.

Answers are converted by whitelist: what the structs do not name, such as costs and the
provider's own fields, is dropped.
"""

from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict

from llmguard.errors import Denial, UpstreamFailure
from llmguard.wire.answer import Event
from llmguard.wire.chat import ChatRequest, UserMessage
from llmguard.wire.chat_answer import ChatChunk, ChatCompletion, Delta
from llmguard.wire.completions import Completion, CompletionChoice, CompletionRequest
from llmguard.wire.content_parts import FilePart, ImagePart
from llmguard.wire.model_request import ModelRequest

CONTROLLED = ("stream", "stream_options")
"""Fields that the upstream sets itself."""

NOT_OF_A_CHAT = {"best_of": 1, "echo": False, "suffix": None, "logprobs": None}
"""Text completion fields that a chat cannot express → the value that asks for nothing."""


def refusal(code: str, param: str, message: str | None = None) -> UpstreamFailure:
    """A request that this upstream cannot pass on."""
    return UpstreamFailure(Denial(code, message, param), retryable=False)


def arguments(request: ModelRequest) -> dict[str, Any]:
    """The request as keyword arguments of `litellm.acompletion`; raises UpstreamFailure.

    No value in it can make litellm open a connection of its own, and no key is one of litellm's controls.
    """
    fields: dict[str, Any] = msgspec.to_builtins(request)
    if isinstance(request, ChatRequest):
        require_inline_media(request)
        if request.metadata is not None:
            # litellm keeps its own controls there, and sends it to no provider.
            raise refusal("parameter_not_allowed", "metadata")
    else:
        fields["messages"] = [{"role": "user", "content": only_prompt(request)}]
        del fields["prompt"]
        for name, nothing in NOT_OF_A_CHAT.items():
            if fields.pop(name, nothing) != nothing:
                raise refusal("parameter_not_allowed", name)
    if request.top_k is not None and request.top_k <= 0:
        # vLLM's spelling of "no limit"; the providers' is to leave it out.
        del fields["top_k"]
    return {name: value for name, value in fields.items() if name not in CONTROLLED}


def only_prompt(request: CompletionRequest) -> str:
    """The prompt; of several, a chat would make one conversation."""
    if isinstance(request.prompt, str):
        return request.prompt
    if len(request.prompt) == 1:
        return request.prompt[0]
    raise refusal("invalid_value", "prompt", "This model takes one prompt at a time.")


def require_inline_media(request: ChatRequest) -> None:
    """Refuses images and files given by URL: for some providers litellm would fetch them from the guard's network."""
    for message in request.messages:
        if not isinstance(message, UserMessage) or isinstance(message.content, str):
            continue
        for part in message.content:
            if isinstance(part, ImagePart):
                source = part.image_url.url
            elif isinstance(part, FilePart):
                source = part.file.file_data
            else:
                continue
            if not source.startswith("data:"):
                raise refusal("invalid_value", "messages", "Images and files must be given as data: URLs.")


def whole(request: ModelRequest, answer: dict[str, Any]) -> Event:
    """A dumped ModelResponse as a whole answer; raises msgspec.ValidationError."""
    chat = msgspec.convert(answer, ChatCompletion)
    if isinstance(request, ChatRequest):
        return chat
    choices = [
        CompletionChoice(choice.message.content or "", choice.index, choice.finish_reason) for choice in chat.choices
    ]
    return Completion(**asdict(chat) | {"object": "text_completion", "choices": choices})


def chunk(request: ModelRequest, received: dict[str, Any]) -> Event | None:
    """A dumped ModelResponseStream as a chunk, None when it says nothing; raises msgspec.ValidationError.

    litellm reports usage beside an empty choice; here, as with OpenAI, such a chunk has no choices.
    """
    chat = msgspec.convert(received, ChatChunk)
    if all(choice.finish_reason is None and choice.delta == Delta() for choice in chat.choices):
        if chat.usage is UNSET:
            return None
        chat.choices = []
    if isinstance(request, ChatRequest):
        return chat
    choices = [
        CompletionChoice(choice.delta.content or "", choice.index, choice.finish_reason) for choice in chat.choices
    ]
    return Completion(**asdict(chat) | {"object": "text_completion", "choices": choices})


def made_up_end(stream: Any, event: Event) -> bool:
    """Whether the event carries a finish reason that no provider sent.

    When a connection ends without one, litellm's CustomStreamWrapper invents "stop", and a cut answer
    would pass for a whole one. Its attributes tell what really came.
    """
    return not (stream.received_finish_reason or stream.intermittent_finish_reason) and any(
        choice.finish_reason for choice in event.choices
    )
