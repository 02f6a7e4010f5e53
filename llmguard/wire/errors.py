"""The error body of the OpenAI API."""

import msgspec

from llmguard.errors import Denial

_encode = msgspec.json.Encoder().encode


def error_body(denial: Denial) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}` as JSON."""
    return _encode(
        {
            "error": {
                "message": denial.text,
                "type": denial.row.type,
                "param": denial.param,
                "code": denial.code,
            }
        }
    )


def error_headers(denial: Denial) -> list[tuple[bytes, bytes]]:
    """When to come back, in the three spellings that SDKs obey, and whether it helps at all."""
    headers = [*denial.headers]
    if not denial.row.retry or denial.hopeless:
        headers.append((b"x-should-retry", b"false"))
    if denial.retry_after_s is not None:
        milliseconds = max(1, round(denial.retry_after_s * 1000))
        headers.append((b"retry-after-ms", b"%d" % milliseconds))
        headers.append((b"retry-after", b"%d" % -(-milliseconds // 1000)))
    return headers
