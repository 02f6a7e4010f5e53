"""What streaming costs: processor time a chunk, delay added to a chunk, and memory while many streams are open.

The load client and the paced upstream are processes of their own and never counted.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from statistics import median

from scipy.stats import quantile_test

from tests.benchmarks import nginx
from tests.benchmarks.load import Plan, Seen
from tests.benchmarks.process import Process, running
from tests.benchmarks.report import Report, Row
from tests.benchmarks.targets import RELAYS, REPOSITORY, Site, Target, started
from tests.ports import HOST, free_port

STREAMS = 32
PACE_MS = 20
SPREAD_S = 0.5
ROUND_S = 2.0
MIN_ROUNDS = 8
MANY = 1000
MANY_PACE_MS = 500
SHARES = (0.1, 0.5, 0.9)
MIB = 1 << 20
HELD = ("llmguard",)
"""The targets whose memory is measured with many streams open."""


@contextlib.contextmanager
def paced_upstream(directory: Path) -> Iterator[str]:
    """The paced upstream's base URL."""
    port, home = free_port(), directory / "paced"
    home.mkdir()
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "tests.benchmarks.paced", str(port)]
    with running(command, ready=f"http://{HOST}:{port}/", directory=home, env=env):
        yield f"http://{HOST}:{port}/v1"


@contextlib.contextmanager
def load(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """The load client at work; `seen` reads what it found."""
    command = [sys.executable, "-m", "tests.benchmarks.load"]
    client = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdin is not None
        client.stdin.write(json.dumps(asdict(plan)) + "\n")
        client.stdin.flush()
        yield client
    finally:
        client.kill()
        client.wait()


def seen(client: subprocess.Popen[str], within_s: float) -> Seen:
    """What the load client found, once it is done."""
    output, _ = client.communicate(timeout=within_s)
    return Seen(**json.loads(output.strip().splitlines()[-1]))


def percentile(values: Sequence[int], share: float) -> float | None:
    """The value below which that share of them lies, by nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None


def burst(target: Target, seconds: int) -> Row:
    """Processor time a chunk when the upstream sends 200 of them at once."""
    plan = Plan(
        url=target.urls["burst"],
        headers=dict(target.headers["burst"]),
        model="burst",
        prompt="Tell me all of it.",
        streams=STREAMS,
        events=nginx.CHUNKS,
        seconds=seconds,
    )
    with load(plan) as client:
        before = target.process.cpu_s()
        found = seen(client, seconds + 60)
        cpu_s = target.process.cpu_s() - before
    target.process.settle()
    return {
        "target": target.name,
        "cpu_us_per_chunk": cpu_s / found.chunks * 1e6 if found.chunks else None,
        "cpu_ms_per_answer": cpu_s / found.answers * 1e3 if found.answers else None,
        "chunks_per_s": found.chunks / found.elapsed_s,
        "answers": found.answers,
        "errors": len(found.errors),
        "first_error": found.errors[0] if found.errors else None,
    }


def paced(
    name: str, url: str, headers: Mapping[str, str], process: Process | None, seconds: float
) -> dict[str, object]:
    """Delay from a chunk's leaving the upstream to its arrival, and the processor time of a chunk that comes alone."""
    chunks = int(seconds * 1000 / PACE_MS)
    plan = Plan(
        url=url,
        headers=dict(headers),
        model="paced",
        prompt=f"chunks={chunks} every_ms={PACE_MS}",
        streams=STREAMS,
        events=chunks,
        spread_s=SPREAD_S,
    )
    with load(plan) as client:
        before = process.cpu_s() if process else 0.0
        found = seen(client, seconds * 4 + 60)
        cpu_s = process.cpu_s() - before if process else None
    return {
        "target": name,
        "p50_us": percentile(found.delays_us, 0.50),
        "p99_us": percentile(found.delays_us, 0.99),
        "cpu_us_per_chunk": cpu_s / found.chunks * 1e6 if cpu_s is not None and found.chunks else None,
        "errors": len(found.errors),
        "first_error": found.errors[0] if found.errors else None,
    }


def delays(direct: str, targets: Sequence[Target], seconds: int) -> list[Row]:
    """The paced streams of every way in turn, in many short rounds.

    What a way adds is taken within its round, from the direct way's figure of the same two seconds: the wall clock of
    a shared machine drifts by more from minute to minute than a good relay adds.
    """
    ways = [("direct", direct, {"content-type": "application/json"}, None)]
    ways += [(t.name, t.urls["paced"], t.headers["paced"], t.process) for t in targets]
    count = max(MIN_ROUNDS, int(seconds / ROUND_S))
    rounds = [[paced(*way, ROUND_S) for way in ways] for _ in range(count)]
    return [delayed([turn[place] for turn in rounds], [turn[0] for turn in rounds]) for place in range(len(ways))]


def delayed(turns: Sequence[Row], direct: Sequence[Row]) -> Row:
    """The medians of one way's rounds, and of what it added in each, the p99 with its 95 % interval.

    `keeps_up`: half the chunks come before the next leaves.
    """
    p50, added = median_of(turns, "p50_us"), differences(turns, direct, "p99_us")
    low, high = interval(added)
    firsts = [turn["first_error"] for turn in turns if turn["errors"]]
    return {
        "target": turns[0]["target"],
        "rounds": len(turns),
        "p50_us": p50,
        "p99_us": median_of(turns, "p99_us"),
        "cpu_us_per_chunk": median_of(turns, "cpu_us_per_chunk"),
        "added_p50_us": middle(differences(turns, direct, "p50_us")),
        "added_p99_us": middle(added),
        "added_p99_low": low,
        "added_p99_high": high,
        "keeps_up": "yes" if p50 is not None and p50 < PACE_MS * 1000 else "no",
        "errors": sum(int(str(turn["errors"])) for turn in turns),
        "first_error": next(iter(firsts), None),
    }


def figures(turns: Sequence[Row], name: str) -> list[float | None]:
    """One figure of each round, None where the round has none."""
    return [float(value) if isinstance(value := turn[name], int | float) else None for turn in turns]


def median_of(turns: Sequence[Row], name: str) -> float | None:
    """The median of a figure over the rounds that have it."""
    return middle([value for value in figures(turns, name) if value is not None])


def differences(turns: Sequence[Row], direct: Sequence[Row], name: str) -> list[float]:
    """A way's figure less the direct way's, round by round."""
    pairs = zip(figures(turns, name), figures(direct, name), strict=True)
    return [ours - base for ours, base in pairs if ours is not None and base is not None]


def middle(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return median(values) if values else None


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """A 95 % interval for the median by order statistics, which supposes no distribution; None where too few."""
    if len(values) < MIN_ROUNDS:
        return None, None
    low, high = quantile_test(values).confidence_interval(0.95)
    return float(low), float(high)


def held(target: Target, seconds: int) -> Row:
    """Resident memory before, during and after 1,000 streams that are open at once for that many seconds."""
    chunks = seconds * 1000 // MANY_PACE_MS
    plan = Plan(
        url=target.urls["paced"],
        headers=dict(target.headers["paced"]),
        model="paced",
        prompt=f"chunks={chunks} every_ms={MANY_PACE_MS}",
        streams=MANY,
        events=chunks,
        spread_s=2.0,
    )
    before = target.process.rss_bytes()
    with load(plan) as client:
        start = time.monotonic()
        during = []
        for share in SHARES:
            time.sleep(max(0.0, start + plan.spread_s + share * (seconds - plan.spread_s) - time.monotonic()))
            during.append(target.process.rss_bytes())
        found = seen(client, seconds * 3 + 60)
    target.process.settle()
    return memory_row(target, before, during, found)


def memory_row(target: Target, before: int, during: Sequence[int], found: Seen) -> Row:
    """The samples in MiB; `growth` is from the first to the last sample of the run."""
    samples = {f"at_{share:.0%}_mib": rss / MIB for share, rss in zip(SHARES, during, strict=True)}
    return {
        "target": target.name,
        "peak_streams": found.peak,
        "before_mib": before / MIB,
        **samples,
        "after_mib": target.process.rss_bytes() / MIB,
        "growth": f"{during[-1] / during[0] - 1:+.1%}",
        "kib_per_stream": (max(during) - before) / 1024 / max(found.peak, 1),
        "errors": len(found.errors),
        "first_error": found.errors[0] if found.errors else None,
    }


def more_files() -> None:
    """Lets this process and its children hold a thousand streams open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def judged(title: str, rows: Sequence[Row], missing: Mapping[str, str]) -> Report:
    """The report; streams that failed are said beside the table."""
    bad = [
        f"{row['target']}: {row['errors']} streams, the first: {row['first_error']}" for row in rows if row["errors"]
    ]
    return Report(title, [{k: v for k, v in row.items() if k != "first_error"} for row in rows], missing, bad)


def run(seconds: int) -> list[Report]:
    """The three benchmarks, `seconds` for each target."""
    title = f"stream: {nginx.CHUNKS} chunks at once, {STREAMS} streams"
    if not nginx.installed():
        return [Report(title, missing={"nginx": "not on the path; nothing can be measured without it"})]
    more_files()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fixed = stack.enter_context(nginx.upstream(scratch))
        url = stack.enter_context(paced_upstream(scratch))
        site = Site(scratch, f"sk-{token_hex(20)}", {"burst": fixed["burst"], "paced": url})
        targets, missing = stack.enter_context(started(site, RELAYS))
        bursts = [burst(target, seconds) for target in targets]
        late = delays(f"{url}/chat/completions", targets, seconds)
        kept = [held(target, max(seconds, 10)) for target in targets if target.name in HELD]
    paced_title = f"stream: delay of a chunk, {STREAMS} streams, a chunk every {PACE_MS} ms"
    held_title = f"stream: memory with {MANY:,} streams open at once"
    lacking = {name: why for name, why in missing.items() if name in HELD}
    return [
        judged(title, bursts, missing),
        judged(paced_title, late, missing),
        judged(held_title, kept, lacking),
    ]
