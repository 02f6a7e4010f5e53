"""llmguard with nothing but itself: the embedded models' start, memory, first word and pace."""

import json
import os
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from tests.benchmarks.process import Process, StartError, running
from tests.benchmarks.report import Report, Row
from tests.benchmarks.targets import REPOSITORY
from tests.ports import HOST, free_port

MODEL = "smollm2"
TOKENS = 64
ANSWERS = 3
MIB = 1 << 20
NEEDED = ("torch", "safetensors", "tokenizers")
KEY = re.compile(r"API key[^:]*: (\S+)")
TITLE = "embedded: the models that ship with the guard"


def ask(port: int, key: str) -> tuple[float, float, int]:
    """Seconds to the first word and to the end of one streamed answer, and its tokens."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Tell me a long story about a lighthouse."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": TOKENS,
    }
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"http://{HOST}:{port}/v1/chat/completions", json.dumps(body).encode(), headers)
    start, first, tokens = time.perf_counter(), 0.0, 0
    with urllib.request.urlopen(request, timeout=300) as response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line.removeprefix(b"data: "))
            if not first and any(choice["delta"].get("content") for choice in chunk["choices"]):
                first = time.perf_counter() - start
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
    return first, time.perf_counter() - start, tokens


def measured(process: Process, port: int, key: str) -> Row:
    """Medians over ANSWERS; one answer before them warms the model up. `slowest_tokens_per_s` is the worst answer's."""
    ready_mib = process.rss_bytes() / MIB
    ask(port, key)
    before = process.cpu_s()
    answers = [ask(port, key) for _ in range(ANSWERS)]
    cpu_s = process.cpu_s() - before
    paces = [(tokens - 1) / (whole - first) for first, whole, tokens in answers if whole > first > 0]
    tokens = sum(tokens for _, _, tokens in answers)
    return {
        "target": "llmguard",
        "ready_s": process.ready_s,
        "rss_ready_mib": ready_mib,
        "rss_after_mib": process.rss_bytes() / MIB,
        "first_word_s": median(first for first, _, _ in answers),
        "tokens_per_s": median(paces) if paces else None,
        "slowest_tokens_per_s": min(paces, default=None),
        "cpu_ms_per_token": cpu_s * 1e3 / tokens if tokens else None,
        "tokens": tokens,
    }


def run() -> Report:
    """The benchmark; weights that were converted by an earlier start are used again."""
    lacking = [package for package in NEEDED if find_spec(package) is None]
    if lacking:
        return Report(TITLE, missing={"llmguard": f"the embedded models need {', '.join(lacking)}"})
    with tempfile.TemporaryDirectory() as scratch:
        home, port = Path(scratch), free_port()
        output = home / "stdout.log"
        command = [sys.executable, "-m", "llmguard", "serve", "--host", HOST, "--port", str(port)]
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        ready = f"http://{HOST}:{port}/health/ready"
        try:
            with running(command, ready=ready, directory=home, env=env, stdout=output, within_s=300) as process:
                return Report(TITLE, [measured(process, port, wait_key(output))])
        except (StartError, urllib.error.HTTPError) as error:
            return Report(TITLE, failures=[f"llmguard: {error}"])


def wait_key(output: Path, within_s: float = 10.0) -> str:
    """The key that the guard prints once it is ready."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = KEY.search(output.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise StartError("printed no API key")
