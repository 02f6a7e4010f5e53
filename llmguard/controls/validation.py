"""The body: its size, its type, its schema."""

import asyncio
from dataclasses import replace

import msgspec

from llmguard.control import Step
from llmguard.errors import BodyTooLarge, Denial, Refused
from llmguard.exchange import Exchange, Head, Outcome
from llmguard.settings import Settings
from llmguard.uploads import Uploads
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.form import OVERHEAD_BYTES, parse_form
from llmguard.wire.request import parse, parse_query

INLINE_BYTES = 65_536
"""A longer form is parsed in a thread."""


class Validation(Step):
    """Reads the body, bounded, and parses it once into what the endpoint expects.

    What is not understood is refused in every mode: there is nothing to forward.
    """

    def __init__(self, settings: Settings, uploads: Uploads) -> None:
        self._limit = settings.server.max_body_bytes
        self._form_limit = settings.similarity.max_file_bytes + OVERHEAD_BYTES
        self._uploads = uploads

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Set `asked`, `request` or `pooling`, `model` and `stream`, or refuse with the parameter at fault."""
        endpoint, head = exchange.endpoint, exchange.head
        if endpoint.form:
            return await self._form(exchange)
        if endpoint.request is None and endpoint.query is None:
            return exchange
        body = await self._body(exchange, b"application/json", self._limit) if endpoint.request is not None else b""
        if isinstance(body, Denial):
            return body
        request = None
        try:
            asked = _asked(endpoint, head, body)
            if endpoint.to_model is not None:
                request = endpoint.to_model(asked)
        except Refused as error:
            return replace(error.denial, final=True)
        if request is None:
            return msgspec.structs.replace(exchange, body_bytes=len(body), asked=asked)
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

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Give back the memory of an upload."""
        self._uploads.leave(exchange.id)

    async def _form(self, exchange: Exchange) -> Exchange | Denial:
        """Read an upload; a long one is parsed in a thread."""
        length = exchange.head.headers.get(b"content-length", b"")
        size = min(int(length), self._form_limit) if length.isdigit() else self._form_limit
        if not self._uploads.enter(exchange.id, exchange.principal.tenant, size):
            return Denial("overloaded", "Too many uploads are under way.", retry_after_s=1.0, final=True)
        found: Exchange | Denial | None = None
        try:
            found = await self._uploaded(exchange)
        finally:
            if not isinstance(found, Exchange):  # else when it is settled
                self._uploads.leave(exchange.id)
        return found

    async def _uploaded(self, exchange: Exchange) -> Exchange | Denial:
        endpoint, media = exchange.endpoint, exchange.head.headers.get(b"content-type", b"")
        body = await self._body(exchange, b"multipart/form-data", self._form_limit)
        if isinstance(body, Denial) or endpoint.request is None:
            return body if isinstance(body, Denial) else exchange
        try:
            if len(body) <= INLINE_BYTES:
                asked = parse_form(media, body, endpoint.request)
            else:
                asked = await asyncio.to_thread(parse_form, media, body, endpoint.request)
        except Refused as error:
            return error.denial
        return msgspec.structs.replace(exchange, body_bytes=len(body), asked=asked)

    async def _body(self, exchange: Exchange, media: bytes, limit: int) -> bytes | Denial:
        """The body, of this type and no longer."""
        headers = exchange.head.headers
        if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != media:
            return Denial("unsupported_media_type", f"The content type must be {media.decode()}.", final=True)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return Denial("unsupported_media_type", "A compressed body is not accepted.", final=True)
        try:
            return await exchange.read(limit)
        except BodyTooLarge:
            return Denial("request_too_large", f"The request body is larger than {limit} bytes.", final=True)


def _asked(endpoint: Endpoint, head: Head, body: bytes) -> msgspec.Struct:
    """The body, or the query of an endpoint that has one; raises Refused."""
    if endpoint.query is not None:
        return parse_query(head.query, endpoint.query)
    if endpoint.request is None:
        raise TypeError("an endpoint without a request has nothing to parse")
    return parse(body, endpoint.request)
