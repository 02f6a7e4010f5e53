"""What quotas cost: processor time of a plain chat request with the limits of the example policy and without.

A guard's key with limits takes turns with one without, a second at a time, on one process: a machine's speed drifts by
more than is measured here, and two processes of one program differ for as long as they live. What a round adds is the
median of its turns' differences, what is told is the median over the rounds, with its interval; every round starts its
servers anew. LiteLLM's limiter stands beside it, on the same Redis, and next to a LiteLLM without.

Microseconds are those of one machine. What is added is told as a share, too, of what an application without work takes
on the same server (`of_asgi`): where that was 36 microseconds, 25 are .69 of it and 60 are 1.67.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from secrets import token_hex
from typing import TypeAlias

from tests.benchmarks import nginx, wrk
from tests.benchmarks.process import StartError, running_redis
from tests.benchmarks.relay import MODEL
from tests.benchmarks.report import Report, Row
from tests.benchmarks.stream import interval, middle
from tests.benchmarks.targets import (
    AbsentError,
    Site,
    Target,
    asgi_target,
    asked_plainly,
    guard_target,
    litellm_target,
)
from tests.ports import free_port

TITLE = "quotas: what they add to a plain chat request, 32 connections"
CONNECTIONS = 32
ROUNDS = 9
MANY = 1_000_000_000
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
GUARDS = ("memory", "file", "redis")
LIMITED = {**{name: f"{name}, no limits" for name in GUARDS}, "litellm redis": "litellm"}
"""Each way with limits, and the way without that it is compared with."""


def ways(site: Site, redis: str) -> Mapping[str, "partial[contextlib.AbstractContextManager[Target]]"]:
    """Every server that is measured, by its name."""
    host, _, port = redis.removeprefix("redis://").partition(":")
    shared = {"redis_host": host, "redis_port": int(port), "routing_strategy": "usage-based-routing-v2"}
    return {
        "asgi": partial(asgi_target, site),
        "memory": partial(guard_target, site, name="memory", policy=POLICY, store={"url": "memory:"}),
        "file": partial(guard_target, site, name="file", policy=POLICY),
        "redis": partial(guard_target, site, name="redis", policy=POLICY, store={"url": redis}),
        "litellm": partial(litellm_target, site, name="litellm"),
        "litellm redis": partial(
            litellm_target,
            site,
            name="litellm redis",
            limits={"rpm": 1_000_000, "tpm": 1_000_000_000},
            more={"router_settings": shared},
        ),
    }


def cpu_us(target: Target, turn: int) -> float:
    """Processor time of a request in a second of load, in microseconds."""
    before = target.process.cpu_s()
    load = wrk.drive(target, MODEL, connections=CONNECTIONS, seconds=1, turn=turn)
    if load.non_2xx:
        raise StartError(f"{target.name}: {load.non_2xx} answers were not 2xx")
    used = target.process.cpu_s() - before
    target.process.settle()
    return used / max(load.requests, 1) * 1e6


Turn: TypeAlias = dict[str, float]
"""Processor time of a request, by server."""


def a_turn(targets: Sequence[Target], turn: int) -> Turn:
    """Every server once; in every other turn in the reverse order, so that no one always comes after another."""
    return {target.name: cpu_us(target, turn) for target in targets[:: 1 if turn % 2 == 0 else -1]}


def row(name: str, rounds: Sequence[Sequence[Turn]]) -> Row:
    """The medians over the rounds of one way's cost, and of what it added: in microseconds and as a share."""
    base = LIMITED.get(name)
    found: dict[str, object] = {
        "target": name,
        "rounds": len(rounds),
        "cpu_us": middle([middle([turn[name] for turn in turns]) for turns in rounds]),
    }
    if base is None:
        return found
    added = [middle([turn[name] - turn[base] for turn in turns]) for turns in rounds]
    shares = [middle([turn[name] / turn[base] - 1 for turn in turns]) for turns in rounds]
    found["added_us"], (found["added_low"], found["added_high"]) = middle(added), interval(added)
    found["share"], (found["share_low"], found["share_high"]) = middle(shares), interval(shares)
    of = [more / middle([turn["asgi"] for turn in turns]) for more, turns in zip(added, rounds, strict=True)]
    found["of_asgi"], (found["of_low"], found["of_high"]) = middle(of), interval(of)
    return {**found, "beside": base}


@contextlib.contextmanager
def started(site: Site, redis: str) -> Iterator[tuple[list[Target], dict[str, str]]]:
    """The servers that run, and why each of the others does not."""
    targets: list[Target] = []
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for name, way in ways(site, redis).items():
            try:
                target = stack.enter_context(way())
                targets += [target, asked_plainly(target, site)] if name in GUARDS else [target]
            except (AbsentError, StartError) as error:
                missing[name] = str(error)
        yield targets, missing


def lacking(title: str, **there: bool) -> list[Report]:
    """The report that nothing was measured, where nginx or one of these is not there."""
    missing = [name for name, found in {"nginx": nginx.installed(), **there}.items() if not found]
    why = "not on the path; nothing can be measured without it"
    return [Report(title, missing=dict.fromkeys(missing, why))] if missing else []


@contextlib.contextmanager
def beside_redis() -> Iterator[tuple[Site, str]]:
    """An upstream and a Redis that run, and a client's key."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstreams = stack.enter_context(nginx.upstream(scratch))
        redis = stack.enter_context(running_redis(scratch, free_port()))
        yield Site(scratch, f"sk-{token_hex(20)}", {MODEL: upstreams[MODEL]}), redis


def run(seconds: int) -> list[Report]:
    """The benchmark: at least `seconds` of load for each server."""
    if nothing := lacking(TITLE, wrk=wrk.installed()):
        return nothing
    with beside_redis() as (whole, redis):
        rounds: list[list[Turn]] = []
        missing: dict[str, str] = {}
        for number in range(ROUNDS):
            site = replace(whole, directory=whole.directory / str(number))
            site.directory.mkdir()
            with started(site, redis) as (targets, absent):
                missing |= absent
                for target in targets:
                    cpu_us(target, -1)
                rounds.append([a_turn(targets, turn) for turn in range(ceil(seconds / ROUNDS))])
    names = [name for name in rounds[0][0] if all(name in turns[0] for turns in rounds)]
    return [Report(TITLE, [row(name, rounds) for name in names], missing)]
