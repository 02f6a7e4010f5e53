"""What goes over the wire for one request under one fault, as values: the head, then bytes and acts in order. Pure."""

import gzip
import json
import zlib
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import pairwise

from tests.fakes import answers
from tests.fakes.answers import JSON, Answer
from tests.fakes.faults import Fault

COMMENT = b": keep-alive\n\n"


class Act(Enum):
    """What a server does besides sending bytes."""

    PAUSE = auto()
    HANG = auto()
    RESET = auto()
    CLOSE = auto()
    DRIP = auto()


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer. `length` overrides the content-length; `body` goes out part by part, `None` head sends none."""

    status: int = 200
    content_type: str = "application/json"
    body: tuple[bytes | Act, ...] = ()
    framing: str = "length"
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    silent: bool = False
    fault: Fault | None = field(default=None)


def event(payload: object) -> bytes:
    """One server-sent event."""
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def plain_plan(body: JSON, answer: Answer, *, chat: bool) -> Plan:
    """A whole answer in one body."""
    text = json.dumps(answers.completion(body, answer, chat=chat), ensure_ascii=False)
    return Plan(body=(text.encode(),), framing=answer.framing)


def stream_plan(body: JSON, answer: Answer, fault: Fault | None, *, chat: bool) -> Plan:
    """A streamed answer; the faults that concern usage are applied here."""
    chunks = answers.stream(body, answer, chat=chat)
    name = fault.name if fault else None
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    if name == "USAGE_IN_LAST_CHOICE_CHUNK":
        chunks[-1] = {**chunks[-1], "usage": answers.usage(body, answer, chat=chat)}
    elif asked and name != "NO_USAGE":
        chunks.append(answers.usage_chunk(body, answer, chat=chat))
    events: list[bytes | Act] = [*map(event, chunks), event("[DONE]")]
    if answer.pause_after is not None:
        events.insert(answer.pause_after, Act.PAUSE)
    return Plan(content_type="text/event-stream; charset=utf-8", body=tuple(events), framing="chunked")


def plan(body: JSON, answer: Answer, fault: Fault | None, *, chat: bool) -> Plan:
    """What is sent for a request, its fault applied."""
    streamed = bool(body.get("stream"))
    good = stream_plan(body, answer, fault, chat=chat) if streamed else plain_plan(body, answer, chat=chat)
    if fault is None:
        return good
    wrong = anywhere(good, fault)
    if wrong is None:
        wrong = in_stream(good, fault) if streamed else in_body(good, body, answer, fault, chat=chat)
    return replace(wrong, fault=fault)


def anywhere(good: Plan, fault: Fault) -> Plan | None:
    """The faults that look alike for plain and streamed answers."""
    match fault.name:
        case "HANG":
            return Plan(silent=True, body=(Act.HANG,))
        case "RESET_BEFORE" | "REFUSE":
            return Plan(silent=True, body=(Act.RESET,))
        case "EMPTY_200":
            return replace(good, body=(), framing="length")
        case "HTML_200":
            return Plan(content_type="text/html", body=(answers.PAGE.encode(),))
        case "STATUS":
            return error_plan(fault)
        case "REDIRECT":
            return Plan(status=307, body=(b"{}",), headers=(("location", "/v1/redirected"),))
        case "TOO_MANY_HEADERS":
            return replace(good, headers=tuple((f"x-upstream-secret-{n}", "v" * 64) for n in range(2000)))
        case "GZIP":
            return gzipped(good)
    return None


def error_plan(fault: Fault) -> Plan:
    """An error answer; 429 and 503 say when to come back."""
    headers = (("retry-after", "7"),) if fault.status in (429, 503) else ()
    if fault.html:
        return Plan(fault.status, "text/html", (answers.PAGE.encode(),), headers=headers)
    return Plan(fault.status, body=(json.dumps(answers.error(fault.status)).encode(),), headers=headers)


def gzipped(good: Plan) -> Plan:
    """The same answer compressed; a stream is flushed at every event."""
    headers = (("content-encoding", "gzip"),)
    parts = [part for part in good.body if isinstance(part, bytes)]
    if good.framing != "chunked":
        return replace(good, body=(gzip.compress(b"".join(parts)),), headers=headers)
    packer = zlib.compressobj(wbits=31)
    body = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts]
    return replace(good, body=(*body, packer.flush()), headers=headers)


def in_body(good: Plan, body: JSON, answer: Answer, fault: Fault, *, chat: bool) -> Plan:
    """The faults of a plain answer."""
    whole = b"".join(part for part in good.body if isinstance(part, bytes))
    half = whole[: len(whole) // 2]
    match fault.name:
        case "HANG_MID_STREAM":
            return replace(good, body=(half, Act.HANG), length=len(whole))
        case "RESET_MID_STREAM":
            return replace(good, body=(half, Act.RESET), length=len(whole))
        case "TRUNCATED_BODY" | "CUT":
            return replace(good, body=(half, Act.CLOSE), framing="length", length=len(whole))
        case "BAD_JSON" | "BAD_SSE":
            return replace(good, body=(half,))
        case "WRONG_TYPES":
            shape: JSON = {"id": 7, "object": None, "choices": "none", "usage": [1], "created": "now", "model": {}}
            return replace(good, body=(json.dumps(shape).encode(),))
        case "ERROR_FRAME":
            return replace(good, body=(json.dumps(answers.error(500)).encode(),))
        case "SLOW_DRIP":
            return replace(good, body=(*(bytes((byte,)) for byte in whole), Act.DRIP))
        case "HUGE_EVENT":
            return plain_plan(body, replace(answer, chunks=("x" * fault.size,)), chat=chat)
        case "NO_USAGE":
            shape = answers.completion(body, answer, chat=chat)
            del shape["usage"]
            return replace(good, body=(json.dumps(shape, ensure_ascii=False).encode(),))
        case "SPLIT_UTF8":
            return replace(good, body=split_inside_characters(whole))
    return good


def in_stream(good: Plan, fault: Fault) -> Plan:
    """The faults of a streamed answer: `fault.events` good events go out first."""
    first, rest = good.body[: fault.events], good.body[fault.events :]
    match fault.name:
        case "HANG_MID_STREAM":
            return replace(good, body=(*first, Act.HANG))
        case "RESET_MID_STREAM":
            return replace(good, body=(*first, Act.RESET))
        case "TRUNCATED_BODY":
            return replace(good, body=(*first, Act.CLOSE))
        case "CUT":
            return replace(good, body=first)
        case "NO_DONE":
            return replace(good, body=good.body[:-1])
        case "BAD_JSON":
            return replace(good, body=(*first, event('{"choices": [{"index"'), *rest))
        case "BAD_SSE":
            return replace(good, body=(*first, b"\xff\xfe garbage without a field\n\ndata: {bad\n\n", *rest))
        case "WRONG_TYPES":
            wrong: list[object] = [{"choices": 5}, {"choices": [{"index": "a", "delta": "text"}]}, [1, 2], "7"]
            return replace(good, body=(*first, *map(event, wrong), *rest))
        case "ERROR_FRAME":
            return replace(good, body=(*first, event(answers.error(500))))
        case "SLOW_DRIP":
            return replace(good, body=(*first, Act.DRIP))
        case "HUGE_EVENT":
            return replace(good, body=(*first, event({"choices": [huge_choice(fault.size)]}), *rest))
    return replace(good, body=reworded(good.body, fault))


def huge_choice(size: int) -> JSON:
    """A choice whose delta has that many bytes."""
    return {"index": 0, "delta": {"content": "x" * size}, "finish_reason": None}


def reworded(body: tuple[bytes | Act, ...], fault: Fault) -> tuple[bytes | Act, ...]:
    """The same events in unusual but valid bytes."""
    match fault.name:
        case "CRLF_SSE":
            return tuple(part.replace(b"\n", b"\r\n") if isinstance(part, bytes) else part for part in body)
        case "MULTILINE_SSE":
            return tuple(
                b"event: message\nid: 1\n" + two_lines(part) if isinstance(part, bytes) else part for part in body
            )
        case "COMMENTS_SSE":
            return tuple(piece for part in body for piece in (COMMENT, part))
        case "SPLIT_UTF8":
            parts = [part for part in body if isinstance(part, bytes)]
            return tuple(piece for part in parts for piece in split_inside_characters(part))
    return body


def two_lines(part: bytes) -> bytes:
    """An event whose JSON stands on two data lines, broken at its first comma."""
    return part.replace(b", ", b",\ndata: ", 1)


def split_inside_characters(text: bytes) -> tuple[bytes, ...]:
    """The bytes cut after the first byte of every multibyte character; joined they are the same."""
    cuts = [0, *(at + 1 for at, byte in enumerate(text) if byte >= 0xC0), len(text)]
    return tuple(text[start:end] for start, end in pairwise(cuts) if start < end)
