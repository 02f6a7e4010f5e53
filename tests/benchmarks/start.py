"""From nothing to the first 200 of the readiness check, with an OpenAI-wire upstream only, and the memory held then."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from statistics import median

from tests.benchmarks import nginx
from tests.benchmarks.process import StartError
from tests.benchmarks.report import Report, Row
from tests.benchmarks.targets import START, AbsentError, Site, guard_target

TIMES = {"nginx": 5, "llmguard": 5, "litellm": 2, "portkey": 5}
HEAVY = ("torch", "litellm", "faiss", "numba", "transformers", "sentence_transformers")
TITLE = "start: to the first ready answer"


def once(name: str, upstreams: dict[str, str]) -> tuple[float, int]:
    """Seconds to ready and resident bytes of one start."""
    with tempfile.TemporaryDirectory() as scratch:
        site = Site(Path(scratch), f"sk-{token_hex(20)}", upstreams)
        with START[name](site) as target:
            return target.process.ready_s, target.process.rss_bytes()


def heavy_imports(upstreams: dict[str, str]) -> list[str]:
    """The heavy packages that llmguard imports before it is ready, as the interpreter itself reports them."""
    with tempfile.TemporaryDirectory() as scratch:
        site = Site(Path(scratch), f"sk-{token_hex(20)}", upstreams)
        with guard_target(site, "-X", "importtime") as target:
            log = target.process.log.read_text(errors="replace")
    lines = [line for line in log.splitlines() if line.startswith("import time:")]
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    if "llmguard" not in packages:
        raise StartError("the interpreter reported no imports")
    return sorted(packages & set(HEAVY))


def row(name: str, starts: Sequence[tuple[float, int]], heavy: str | None) -> Row:
    """Medians over the starts."""
    return {
        "target": name,
        "ready_s": median(seconds for seconds, _ in starts),
        "slowest_s": max(seconds for seconds, _ in starts),
        "rss_mib": median(size for _, size in starts) / (1 << 20),
        "starts": len(starts),
        "heavy_imports": heavy,
    }


def run() -> Report:
    """The benchmark; a heavy import in llmguard is a failure."""
    if not nginx.installed():
        return Report(TITLE, missing={"nginx": "not on the path; nothing can be measured without it"})
    rows: list[Row] = []
    missing: dict[str, str] = {}
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstreams = {"mock": stack.enter_context(nginx.upstream(scratch))["mock"]}
        for name, times in TIMES.items():
            try:
                heavy = heavy_imports(upstreams) if name == "llmguard" else None
                shown = None if heavy is None else ", ".join(heavy) or "none"
                rows.append(row(name, [once(name, upstreams) for _ in range(times)], shown))
                failures += [f"llmguard imports {package} before it is needed" for package in heavy or ()]
            except (AbsentError, StartError) as error:
                missing[name] = str(error)
    return Report(TITLE, rows, missing, failures)
