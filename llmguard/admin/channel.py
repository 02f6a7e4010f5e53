"""The ASGI channel of the FastAPI side: its body bounded, its answers with a request id."""

import asyncio

from starlette.exceptions import HTTPException

from llmguard import connection
from llmguard.connection import Message, Receive, Scope, Send


def bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """Raises HTTPException 413 for a body longer than `limit` bytes, and 408 when it does not end in time.

    FastAPI reads a body whole, before anyone is authenticated.
    """
    declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
    left = limit
    until = asyncio.get_running_loop().time() + connection.BODY_TIMEOUT_S

    async def receive_bounded() -> Message:
        nonlocal left
        if declared > limit:
            raise HTTPException(413)
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408) from error
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413)
        return message

    return receive_bounded


def stamped(send: Send, ident: str) -> Send:
    """Adds `x-request-id`; closes the connection where the body was not read to its end."""

    async def send_stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"x-request-id", b"req_" + ident.encode())]
            if message["status"] in (408, 413):
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await send(message)

    return send_stamped
