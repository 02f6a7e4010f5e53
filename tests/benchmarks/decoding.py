"""What it costs to validate a request and to judge its decoding, in CPU time a request."""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from llmguard.decoding.engines import ENGINES
from llmguard.decoding.verdict import verdict
from llmguard.settings_policies import Decoding
from llmguard.wire.chat import ChatRequest
from llmguard.wire.chat_endpoint import to_model
from llmguard.wire.engine_fields import foreign
from llmguard.wire.request import parse
from tests.benchmarks.report import Report, Row

TITLE = "decoding: validation and judgement of a request of 1 KB"
MOST_US = 15.0
ROUNDS, TIMES = 21, 200
ENGINE = ENGINES["vllm"]
SCHEMA = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(8)}, "required": ["p0"]}
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sampled": {"temperature": 0.7, "top_p": 0.95, "max_tokens": 256, "n": 2},
    "engine's own": {"temperature": 0.7, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1, "min_tokens": 4},
    "structured": {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
}


def body(fields: dict[str, Any], size: int = 1024) -> bytes:
    """A request of so many bytes."""
    request = {"model": "m", "messages": [{"role": "user", "content": ""}], **fields}
    request["messages"][0]["content"] = "x" * (size - len(json.dumps(request)))
    return json.dumps(request).encode()


def microseconds(step: Callable[[], object]) -> list[float]:
    """CPU time of one step, over rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(TIMES):
            step()
        found.append((time.process_time() - start) / TIMES * 1e6)
    return sorted(found)


def measured(name: str, fields: dict[str, Any]) -> Row:
    """Medians over the rounds, with the slowest round but one of both steps together."""
    text, floors = body(fields), Decoding()
    request = to_model(parse(text, ChatRequest))

    def judge() -> object:
        return foreign(request, ENGINE.fields) or verdict(request, ENGINE, floors)

    validating, judging = microseconds(lambda: to_model(parse(text, ChatRequest))), microseconds(judge)
    together = median(validating) + median(judging)
    return {
        "target": name,
        "validation_us": median(validating),
        "decoding_us": median(judging),
        "together_us": together,
        "slow_round_us": validating[-2] + judging[-2],
    }


def run() -> Report:
    """The benchmark."""
    rows = [measured(name, fields) for name, fields in REQUESTS.items()]
    slow = [row for row in rows if float(str(row["together_us"])) > MOST_US]
    failures = [f"{row['target']}: {row['together_us']:.1f} µs, more than {MOST_US:g}" for row in slow]
    return Report(TITLE, rows, failures=failures)
