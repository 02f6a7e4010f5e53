"""What quotas cost: processor time of a plain chat request with the limits of the example policy and without.

Each way with limits takes turns with the same server without them, in short rounds: what is added is the median of the
differences, with its interval. Every round starts its servers anew: two processes of one program differ by as much as
is measured here, for as long as they live. LiteLLM's limiter stands beside it, on the same Redis.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from secrets import token_hex

from tests.benchmarks import nginx, wrk
from tests.benchmarks.process import StartError, running_redis
from tests.benchmarks.relay import MODEL
from tests.benchmarks.report import Report, Row
from tests.benchmarks.stream import interval, middle
from tests.benchmarks.targets import AbsentError, Site, Target, guard_target, litellm_target
from tests.ports import free_port

TITLE = "quotas: what they add to a plain chat request, 32 connections"
CONNECTIONS = 32
ROUNDS = 9
MANY = 1 << 50
"""No limit is ever reached: what is measured is the keeping of it."""
LIMITS = [
    {"per": "key", "of": "requests", "limit": MANY, "every": "1m"},
    {"per": "user", "of": "tokens", "limit": MANY, "every": "1m"},
    {"per": "user", "of": "tokens", "limit": MANY, "every": "1d"},
    {"per": "tenant", "of": "concurrent", "limit": MANY},
    {"per": "ip", "of": "requests", "limit": MANY, "every": "1m"},
    {"per": "global", "of": "tokens", "limit": MANY, "every": "1d"},
    {"per": "user", "of": "credits", "limit": MANY, "every": "1d", "on": ["classify", "similarity"]},
]
POLICY = {"models": ["*"], "limits": LIMITS}
LIMITED = {"memory": "llmguard", "file": "llmguard", "redis": "llmguard redis", "litellm redis": "litellm"}
"""Each way with limits, and the way without that it is compared with."""


def ways(site: Site, redis: str) -> Mapping[str, "partial[contextlib.AbstractContextManager[Target]]"]:
    """Every server that is measured, by its name."""
    host, _, port = redis.removeprefix("redis://").partition(":")
    shared = {"redis_host": host, "redis_port": int(port), "routing_strategy": "usage-based-routing-v2"}
    return {
        "llmguard": partial(guard_target, site, name="llmguard"),
        "memory": partial(guard_target, site, name="memory", policy=POLICY, store="memory:"),
        "file": partial(guard_target, site, name="file", policy=POLICY),
        "llmguard redis": partial(guard_target, site, name="llmguard redis", store=redis),
        "redis": partial(guard_target, site, name="redis", policy=POLICY, store=redis),
        "litellm": partial(litellm_target, site, name="litellm"),
        "litellm redis": partial(
            litellm_target,
            site,
            name="litellm redis",
            limits={"rpm": 1_000_000, "tpm": 1_000_000_000},
            more={"router_settings": shared},
        ),
    }


def cpu_us(target: Target, seconds: int, turn: int) -> float:
    """Processor time of a request, in microseconds."""
    before = target.process.cpu_s()
    load = wrk.drive(target, MODEL, connections=CONNECTIONS, seconds=seconds, turn=turn)
    if load.non_2xx:
        raise StartError(f"{target.name}: {load.non_2xx} answers were not 2xx")
    used = target.process.cpu_s() - before
    target.process.settle()
    return used / max(load.requests, 1) * 1e6


def row(name: str, turns: Sequence[Mapping[str, float]]) -> Row:
    """The medians of one way's rounds, and of what it added in each."""
    base = LIMITED.get(name)
    added = [turn[name] - turn[base] for turn in turns] if base else []
    low, high = interval(added) if added else (None, None)
    return {
        "target": name,
        "rounds": len(turns),
        "cpu_us": middle([turn[name] for turn in turns]),
        "added_us": middle(added),
        "added_low": low,
        "added_high": high,
        "beside": base,
    }


@contextlib.contextmanager
def started(site: Site, redis: str) -> Iterator[tuple[list[Target], dict[str, str]]]:
    """The servers that run, and why each of the others does not."""
    targets: list[Target] = []
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for name, way in ways(site, redis).items():
            try:
                targets.append(stack.enter_context(way()))
            except (AbsentError, StartError) as error:
                missing[name] = str(error)
        yield targets, missing


def run(seconds: int) -> list[Report]:
    """The benchmark: `seconds` of load for each server."""
    lacking = [name for name, there in (("nginx", nginx.installed()), ("wrk", wrk.installed())) if not there]
    if lacking:
        return [Report(TITLE, missing=dict.fromkeys(lacking, "not on the path; nothing can be measured without it"))]
    length = max(1, round(seconds / ROUNDS))
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstreams = stack.enter_context(nginx.upstream(scratch))
        redis = stack.enter_context(running_redis(scratch, free_port()))
        turns: list[dict[str, float]] = []
        missing: dict[str, str] = {}
        for turn in range(ROUNDS):
            home = scratch / str(turn)
            home.mkdir()
            site = Site(home, f"sk-{token_hex(20)}", {MODEL: upstreams[MODEL]})
            with started(site, redis) as (targets, absent):
                missing |= absent
                for target in targets:
                    cpu_us(target, 1, -1)
                turns.append({target.name: cpu_us(target, length, turn) for target in targets})
    names = [name for name in turns[0] if all(name in turn for turn in turns)]
    return [Report(TITLE, [row(name, turns) for name in names], missing)]
