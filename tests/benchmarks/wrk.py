"""wrk as the load: plain chat requests, no two alike."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.targets import Target

SCRIPT = Path(__file__).with_name("chat.lua")
MARK = "RESULT "


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: latencies in microseconds; `non_2xx` counts statuses from 400 on."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    non_2xx: int
    socket_errors: int


def installed() -> bool:
    """Whether wrk is on the path."""
    return shutil.which("wrk") is not None


def drive(target: Target, model: str, *, connections: int, seconds: int, turn: int) -> Load:
    """Loads the target for whole seconds with that many connections, from one thread."""
    headers = "\n".join(f"{name}: {value}" for name, value in target.headers[model].items())
    env = {**os.environ, "BENCH_HEADERS": headers, "BENCH_MODEL": model, "BENCH_ROUND": str(turn)}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(SCRIPT)]
    done = subprocess.run(
        [*command, target.urls[model]], env=env, capture_output=True, text=True, timeout=seconds + 30, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith(MARK))
    return Load(**json.loads(line.removeprefix(MARK)))
