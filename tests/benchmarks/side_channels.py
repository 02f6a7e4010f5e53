"""What closing side channels costs, and whether refusals can be told apart by the real clock."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import msgspec
from scipy.stats import beta

from llmguard.controls.obfuscation import Obfuscation
from llmguard.exchange import Exchange, Head, Principal
from llmguard.pace import Pace
from llmguard.settings import OpenAIUpstream
from llmguard.settings_policies import Outputs, Policy
from llmguard.upstreams.cache_partition import CachePartition
from llmguard.wire.chat import ChatRequest, StreamOptions, UserMessage
from llmguard.wire.chat_answer import ChatChunk, ChunkChoice, Delta
from llmguard.wire.chat_endpoint import CHAT
from tests.attacks.side_channels import real_time, recorded, told_apart
from tests.benchmarks.report import Report, Row
from tests.guarded import Guarded

ROUNDS, TIMES, PAIRS, BUCKET_MS = 21, 500, 500, 4
MOST_PADDING_US, MOST_REQUEST_US = 10.0, 10.0
KINDS = (("unknown key", "no key"), ("unknown model", "forbidden model"))
BARE: Mapping[str, Any] = {"public": {}, "narrow": {"models": ["other"]}}
POLICIES = {
    "bare": Policy(),
    "include_obfuscation": Policy(),
    "pad_stream": Policy(outputs=Outputs(pad_stream=True)),
}
REQUEST = ChatRequest(model="m", messages=[UserMessage("hello")], stream=True)


def exchange(policy: Policy, *, asks: bool) -> Exchange:
    """A streamed chat under this policy, whose client may ask for padding."""
    options = StreamOptions(include_obfuscation=True) if asks else None
    return Exchange(
        id="req_" + "0" * 32,
        endpoint=CHAT,
        head=Head("POST", CHAT.path, {}, ""),
        started=0.0,
        created=0,
        read=lambda limit: NotImplemented,
        principal=Principal("k", "u", "t", "p", ""),
        policy=policy,
        stream=True,
        request=msgspec.structs.replace(REQUEST, stream_options=options),
    )


def chunk(text: str = " word") -> ChatChunk:
    """A chunk as the guard writes it."""
    return ChatChunk(id="chatcmpl-" + "0" * 32, model="chat", choices=[ChunkChoice(delta=Delta(content=text))])


def microseconds(step: Callable[[], object]) -> float:
    """Median CPU time of one step, over rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(TIMES):
            step()
        found.append((time.process_time() - start) / TIMES * 1e6)
    return median(found)


def padding() -> Report:
    """Bytes and CPU time of a chunk of one word: as it is, as a client may ask for it, as `pad_stream` makes it."""
    rows: list[Row] = []
    for name, policy in POLICIES.items():
        asked, control = exchange(policy, asks=name == "include_obfuscation"), Obfuscation(secrets.token_hex)
        event = chunk()
        cost = microseconds(lambda control=control, asked=asked, event=event: control.release(asked, event))  # type: ignore[misc]
        rows.append({"target": name, "bytes": len(msgspec.json.encode(control.release(asked, event))), "us": cost})
    slow = [f"{row['target']}: {row['us']:.1f} µs" for row in rows if float(str(row["us"])) > MOST_PADDING_US]
    return Report("side channels: a chunk of a stream", rows, failures=slow)


def request() -> Report:
    """CPU time that a request pays."""
    upstreams = {"vllm": OpenAIUpstream(kind="openai", base_url="http://127.0.0.1/v1", engine="vllm")}
    partition, none = CachePartition(b"k" * 32, upstreams), CachePartition(b"k" * 32, {})
    pace, bucketed = (
        Pace({"p": Policy(outputs=Outputs(timing_bucket_ms=ms))}, secrets.SystemRandom().random) for ms in (0, 50)
    )
    steps: dict[str, Callable[[], object]] = {
        "cache_salt": lambda: partition(REQUEST, "vllm", "acme"),
        "no cache_salt": lambda: none(REQUEST, "vllm", "acme"),
        "timing_bucket_ms, without the wait": lambda: bucketed.left_s("p", 0.01),
        "no timing_bucket_ms": lambda: pace.left_s("p", 0.01),
    }
    rows = [{"target": name, "us": microseconds(step)} for name, step in steps.items()]
    slow = [f"{row['target']}: {row['us']:.1f} µs" for row in rows if float(str(row["us"])) > MOST_REQUEST_US]
    return Report("side channels: a request", rows, failures=slow)


def times(seconds: float, pairs: int = PAIRS) -> Report:
    """Repetitions of the test on recorded times: how many tell the two kinds apart at 1 %, with a 95 % interval."""
    rows: list[Row] = []
    for kinds in KINDS:
        for bucket_ms in (0, BUCKET_MS):
            rows.append(asyncio.run(repeated(kinds, bucket_ms, seconds / 4, pairs)))
    failures = [
        f"{row['target']}: told apart in {row['told_apart']} of {row['repetitions']}"
        for row in rows
        if row["bucket_ms"] and float(str(row["low"])) > 0.01
    ]
    return Report(f"side channels: Kolmogorov-Smirnov over {pairs} pairs of refusals", rows, failures=failures)


async def repeated(kinds: tuple[str, str], bucket_ms: int, seconds: float, pairs: int) -> Row:
    """As many repetitions as fit into the time, and at least one."""
    policies = {name: {**policy, "outputs": {"timing_bucket_ms": bucket_ms}} for name, policy in BARE.items()}
    guard, end, found = real_time(Guarded(policies=policies)), time.monotonic() + seconds, list[bool]()
    while not found or (time.monotonic() < end and len(found) < 100):
        found.append(told_apart(await recorded(guard, kinds, pairs, len(found))))
    told, count = sum(found), len(found)
    return {
        "target": " / ".join(kinds),
        "bucket_ms": bucket_ms,
        "repetitions": count,
        "told_apart": told,
        "low": float(beta.ppf(0.025, told, count - told + 1)) if told else 0.0,
        "high": float(beta.ppf(0.975, told + 1, count - told)) if told < count else 1.0,
    }


def run(seconds: float) -> list[Report]:
    """The benchmark; the times take four times as long as the others are given."""
    return [padding(), request(), times(4 * seconds)]
