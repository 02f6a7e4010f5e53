"""The least that an answer over HTTP costs here: an application without work, as a measure of the machine."""

from typing import Any, Final

BODY: Final = b'{"text": "%s"}' % (b"a" * 1010)
HEAD: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads a request to its end, and answers it with 1 KB of JSON."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})
