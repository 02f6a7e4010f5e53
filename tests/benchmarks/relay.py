"""What one plain chat request costs: processor time of the whole tree, latency, throughput.

CPU per request is the steady figure on a shared machine. The upstream is a process of its own and never counted.
All targets run at once and take turns, so that a disturbance meets them alike; figures are medians over the rounds.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from statistics import median

from tests.benchmarks import nginx, wrk
from tests.benchmarks.probe import refuses
from tests.benchmarks.report import Report, Row
from tests.benchmarks.targets import START, Site, Target, started

MODEL = "mock"
CONNECTIONS = (32, 1)
ROUNDS = 3
TITLE = "relay: one plain chat request, one worker"


def measure(target: Target, connections: int, seconds: int, turn: int) -> Row:
    """One round of one target; `cpu_us` is per request."""
    before = target.process.cpu_s()
    load = wrk.drive(target, MODEL, connections=connections, seconds=seconds, turn=turn)
    cpu_s = target.process.cpu_s() - before
    target.process.settle()
    return {
        "cpu_us": cpu_s / max(load.requests, 1) * 1e6,
        "p50_ms": load.p50_us / 1e3,
        "p99_ms": load.p99_us / 1e3,
        "requests_per_s": load.requests / load.seconds,
        "requests": load.requests,
        "non_2xx": load.non_2xx,
        "socket_errors": load.socket_errors,
    }


def middle(rounds: Sequence[Row]) -> dict[str, float]:
    """The median of each figure; counts are summed."""
    sums = {"requests", "non_2xx", "socket_errors"}
    columns = {name: [row[name] for row in rounds] for name in rounds[0]}
    return {name: sum(found) if name in sums else median(found) for name, found in columns.items()}  # type: ignore[type-var,arg-type]


def with_ratios(found: dict[tuple[str, int], dict[str, float]]) -> list[Row]:
    """One row a target and connection count, with its CPU as a multiple of nginx's and of LiteLLM's."""
    rows: list[Row] = []
    for (name, connections), figures in found.items():
        ratios = {
            f"cpu_x_{other}": figures["cpu_us"] / base["cpu_us"] if base and base["cpu_us"] else None
            for other in ("nginx", "nginx+upstream", "litellm")
            for base in [found.get((other, connections))]
        }
        rows.append({"target": name, "connections": connections, **figures, **ratios})
    return rows


def rounds(targets: Sequence[Target], seconds: int) -> list[Row]:
    """Every target in turn, warmed up first."""
    length = max(1, round(seconds / ROUNDS))
    found: dict[tuple[str, int], list[Row]] = {}
    for turn, target in enumerate(targets):
        wrk.drive(target, MODEL, connections=32, seconds=1, turn=-1 - turn)
    for connections in CONNECTIONS:
        for turn in range(ROUNDS):
            for target in targets:
                row = measure(target, connections, length, turn)
                found.setdefault((target.name, connections), []).append(row)
    return with_ratios({key: middle(measured) for key, measured in found.items()})


def run(seconds: int) -> Report:
    """The benchmark: `seconds` of load for each target and connection count."""
    lacking = [name for name, there in (("nginx", nginx.installed()), ("wrk", wrk.installed())) if not there]
    if lacking:
        return Report(TITLE, missing=dict.fromkeys(lacking, "not on the path; nothing can be measured without it"))
    with tempfile.TemporaryDirectory() as scratch, nginx.upstream(Path(scratch)) as upstreams:
        site = Site(Path(scratch), f"sk-{token_hex(20)}", {MODEL: upstreams[MODEL]})
        with started(site, tuple(START)) as (targets, missing):
            broken = {target.name: why for target in targets if (why := refuses(target, MODEL))}
            rows = rounds([target for target in targets if target.name not in broken], seconds)
    bad = [f"{row['target']}: {row['non_2xx']} answers were not 2xx" for row in rows if row["non_2xx"]]
    return Report(TITLE, rows, missing, [*bad, *(f"{name}: {why}" for name, why in broken.items())])
