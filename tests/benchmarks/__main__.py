"""Runs the benchmarks side by side: a table on the terminal, and build/bench.json.

Exit status: 0 done, 1 a target failed or answered wrongly, 2 bad usage.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console

from tests.benchmarks import (
    decoding,
    embedded,
    embeddings,
    ledger_histories,
    prompts,
    prompts_cost,
    prompts_evasions,
    prompts_sources,
    quotas,
    quotas_instructions,
    quotas_local,
    quotas_redis,
    relay,
    scores,
    side_channels,
    similarity,
    similarity_http,
    start,
    stream,
    surrogate,
    watched,
    watermark,
    watermark_null,
    watermark_served,
)
from tests.benchmarks.peers import BUILD
from tests.benchmarks.report import Report, show

BENCHMARKS: Mapping[str, Callable[[int], Sequence[Report]]] = {
    "relay": lambda seconds: [relay.run(seconds)],
    "stream": stream.run,
    "quotas": quotas.run,
    "quotas_instructions": quotas_instructions.run,
    "start": lambda _: [start.run()],
    "embedded": lambda _: [embedded.run()],
    "embeddings": lambda _: embeddings.run(),
    "decoding": lambda _: [decoding.run()],
    "scores": lambda _: [scores.run()],
    "surrogate": surrogate.run,
    "quotas_local": quotas_local.run,
    "quotas_redis": quotas_redis.run,
    "ledger_histories": ledger_histories.run,
    "watermark": watermark.run,
    "watermark_null": lambda _: watermark_null.run(),
    "watermark_served": watermark_served.run,
    "similarity": similarity.run,
    "similarity_http": similarity_http.run,
    "prompts": prompts.run,
    "watched": watched.run,
    "prompts_cost": prompts_cost.run,
    "prompts_evasions": prompts_evasions.run,
    "prompts_sources": prompts_sources.run,
    "side_channels": side_channels.run,
}


def names(text: str) -> list[str]:
    """A comma-separated choice of benchmarks."""
    chosen = [name.strip() for name in text.split(",")]
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    return chosen


def seconds(text: str) -> int:
    """A load long enough for three rounds of whole seconds."""
    value = int(text)
    if value < 3:
        raise argparse.ArgumentTypeError("at least 3")
    return value


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Benchmarks, side by side.")
    parser.add_argument("--only", type=names, default=list(BENCHMARKS), help=f"of {','.join(BENCHMARKS)}")
    parser.add_argument("--seconds", type=seconds, default=15, help="load for each target and setting (default 15)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(arguments)


def main() -> int:
    """Runs what was chosen, in the order of the table above."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, which ends what was started
    console = Console(quiet=chosen.json, width=None if sys.stdout.isatty() else 170)
    progress = Console(stderr=True, quiet=not sys.stderr.isatty())
    found: dict[str, list[Report]] = {}
    for name in (name for name in BENCHMARKS if name in chosen.only):
        with progress.status(f"{name} …"):
            found[name] = list(BENCHMARKS[name](chosen.seconds))
        for report in found[name]:
            show(report, console)
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    reports = {name: [asdict(report) for report in group] for name, group in found.items()}
    text = json.dumps({"machine": machine, "seconds": chosen.seconds, **reports}, indent=2)
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench.json").write_text(text + "\n")
    if chosen.json:
        sys.stdout.write(text + "\n")
    failed = [failure for group in found.values() for report in group for failure in report.failures]
    return 1 if failed or "llmguard" in missing(found) else 0


def missing(found: Mapping[str, Sequence[Report]]) -> set[str]:
    """The targets that some report does without."""
    return {name for group in found.values() for report in group for name in report.missing}


if __name__ == "__main__":
    sys.exit(main())
