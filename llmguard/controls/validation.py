"""The body: its size, its type, its schema."""

from dataclasses import replace

import msgspec

from llmguard.control import Step
from llmguard.errors import BodyTooLarge, Denial, Refused
from llmguard.exchange import Exchange
from llmguard.settings import Settings
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.request import parse


class Validation(Step):
    """Reads the body, bounded, and parses it once into what the endpoint expects.

    What is not understood is refused in every mode: there is nothing to forward.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit = settings.server.max_body_bytes

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Set `asked`, `request` or `pooling`, `model` and `stream`, or refuse with the parameter at fault."""
        endpoint = exchange.endpoint
        if endpoint.request is None or endpoint.to_model is None:
            return exchange
        headers = exchange.head.headers
        media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media != b"application/json":
            return Denial("unsupported_media_type", final=True)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return Denial("unsupported_media_type", "A compressed body is not accepted.", final=True)
        try:
            body = await exchange.read(self._limit)
        except BodyTooLarge:
            return Denial("request_too_large", f"The request body is larger than {self._limit} bytes.", final=True)
        try:
            asked = parse(body, endpoint.request)
            request = endpoint.to_model(asked)
        except Refused as error:
            return replace(error.denial, final=True)
        if not isinstance(request, ChatRequest | CompletionRequest):
            return msgspec.structs.replace(
                exchange, body_bytes=len(body), asked=asked, pooling=request, model=request.model
            )
        return msgspec.structs.replace(
            exchange,
            body_bytes=len(body),
            asked=asked,
            request=request,
            model=request.model,
            stream=bool(request.stream),
        )
