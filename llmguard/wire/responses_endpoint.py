"""`POST /v1/responses`: served as a chat, so that one set of controls sees every request."""

from llmguard.wire import chat_endpoint
from llmguard.wire.chat import ChatRequest
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.responses import ResponsesRequest, to_chat
from llmguard.wire.responses_renderer import ResponsesRenderer


def to_model(asked: ResponsesRequest) -> ChatRequest:
    """The chat that answers it; raises Refused."""
    return chat_endpoint.to_model(to_chat(asked))


RESPONSES = Endpoint(
    name="responses",
    method="POST",
    path="/v1/responses",
    summary="Answer in the shape of the Responses API",
    request=ResponsesRequest,
    to_model=to_model,
    renderer=ResponsesRenderer,
)
