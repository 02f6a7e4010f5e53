"""Detection on the request path: what it adds to a request, how long it holds the loop, and what whole sessions meet.

Two applications in this process, one with prompts watched and one without, over a fake upstream and without a socket,
take turns with the same requests: what is added is the median of the differences in CPU time, with its interval.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from statistics import median

from llmguard.cli.serve import tame_collector
from llmguard.quota.challenge import MAX_NUMBER, Challenges, solve
from llmguard.risk.response import HARDEST
from tests.benchmarks.prompts import DATA
from tests.benchmarks.prompts import interval as binomial
from tests.benchmarks.report import Report, Row
from tests.benchmarks.stream import interval, middle
from tests.fakes.clock import FakeClock
from tests.guarded import CHAT, Guarded
from tests.prompts.corpora import Corpus, made_up, read
from tests.prompts.sessions import ATTACKS, HONEST

LIMITS = [
    {"per": "key", "of": "requests", "limit": 1 << 50, "every": "1m"},
    {"per": "user", "of": "tokens", "limit": 1 << 50, "every": "1d"},
]
ROUNDS, REQUESTS, FILLED = 30, 100, 20_000
HORIZON = 300
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def guard(*, watched: bool, keys: int = 1) -> Guarded:
    """A guard with limits, whose policy has prompts watched as by default."""
    policy = {"limits": LIMITS, **({"prompts": {}} if watched else {})}
    made = [
        {"id": f"k{n}", "secret": f"lg-bench-key-{n:04}", "user": f"u{n}", "tenant": "t", "policy": "public"}
        for n in range(keys)
    ]
    return Guarded(policies={"public": policy, "narrow": {}}, keys=made)


async def ask(one: Guarded, text: str, key: int = 0) -> int:
    """The status of a chat about this."""
    body = {**CHAT, "messages": [{"role": "user", "content": text}]}
    client = await one.chat(body, key=f"lg-bench-key-{key:04}")
    one.upstream.requests.clear()
    one.audit.texts.clear()
    return client.status


def plain(corpus: Corpus) -> list[str]:
    """English words as people write them, without code."""
    return [word for word in " ".join(corpus.talk).split() if word.isascii() and word.strip(".,!?'").isalpha()]


def prompt(words: Sequence[str], source: random.Random, count: int) -> str:
    """Stretches of one or two words from here and there: no two prompts share a long run."""
    found: list[str] = []
    while len(found) < count:
        start = source.randrange(len(words) - 2)
        found += words[start : start + source.randint(1, 2)]
    return " ".join(found[:count])


async def cost(corpus: Corpus) -> Report:
    """CPU time that detection adds, by the length of the prompt, with FILLED prompts of 100 keys in the windows."""
    words, source = plain(corpus), random.Random(1)
    bare, watched = guard(watched=False, keys=100), guard(watched=True, keys=100)
    for place in range(FILLED):
        await ask(watched, prompt(words, source, 40), place % 100)
    rows: list[Row] = []
    for name, count, characters in (("60 tokens", 52, None), ("1,000 characters", 400, 1000), ("200 KB", 40_000, None)):
        turns: dict[str, list[float]] = {"bare": [], "watched": []}
        requests = REQUESTS if count < 10_000 else 3
        for _ in range(ROUNDS):
            texts = [prompt(words, source, count)[:characters] for _ in range(requests)]
            for which, one in (("bare", bare), ("watched", watched)):
                before = time.process_time()
                for place, text in enumerate(texts):
                    await ask(one, text, place % 100)
                turns[which].append((time.process_time() - before) / requests * 1e6)
        added = [after - before for before, after in zip(turns["bare"], turns["watched"], strict=True)]
        low, high = interval(added)
        rows.append(
            {
                "target": name,
                "without_us": median(turns["bare"]),
                "with_us": median(turns["watched"]),
                "added_us": middle(added),
                "added_low": low,
                "added_high": high,
            }
        )
    return Report("detection: CPU that it adds to a request, whole path in this process", rows)


async def loop_time() -> Report:
    """The longest CPU time of the loop's thread in one step, for texts that take long to be read."""
    source = random.Random(2)
    tame_collector()
    texts = {
        "words of 99 random letters": " ".join("".join(source.choices(LETTERS, k=99)) for _ in range(2000)),
        "Hangul": "".join(chr(source.randrange(0xAC00, 0xD7A3)) for _ in range(60_000)),
        "compatibility forms": "\ufdfa" * 60_000,
        "the same, short": "\ufdfa" * 800,
        "random letters, short": " ".join("".join(source.choices(LETTERS, k=99)) for _ in range(8))[:800],
    }
    rows: list[Row] = []
    for name, text in texts.items():
        took = []
        one = guard(watched=True)
        for turn in range(15):
            longest = Longest(asyncio.get_running_loop())
            await ask(one, f"{turn} {text}")
            took.append(longest.stop() * 1e3)
        rows.append({"target": name, "characters": len(text), "median_ms": median(took), "slowest_ms": max(took)})
    slow = [f"{row['target']}: {row['median_ms']:.1f} ms" for row in rows if float(str(row["median_ms"])) > 5.0]
    return Report("detection: how long one prompt holds the event loop", rows, failures=slow)


class Longest:
    """The longest CPU time between two turns of the loop that a callback of its own sees."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._longest = 0.0
        self._last = time.thread_time()
        self._running = True
        loop.call_soon(self._tick)

    def stop(self) -> float:
        """The seconds."""
        self._running = False
        return max(self._longest, time.thread_time() - self._last)

    def _tick(self) -> None:
        now = time.thread_time()
        self._longest, self._last = max(self._longest, now - self._last), now
        if self._running:
            self._loop.call_soon(self._tick)


async def sessions(corpus: Corpus, seconds: float) -> Report:
    """What whole sessions meet: honest ones nothing, scripted ones everything; the place of each first."""
    rows: list[Row] = []
    failures = []
    for kinds, honest in ((HONEST, True), (ATTACKS, False)):
        for kind, make in kinds.items():
            met = await _sessions(corpus, make, seconds / len(kinds))
            blocked = [one["blocked"] for one in met]
            flagged = sum(any(place is not None for place in one.values()) for one in met)
            low, high = binomial(flagged, len(met))
            rows.append(
                {
                    "target": kind,
                    "honest": honest,
                    "sessions": len(met),
                    "flagged": flagged,
                    "from": low,
                    "to": high,
                    **{state: _middle([one[state] for one in met]) for state in ("throttled", "challenged", "blocked")},
                    "never_blocked": sum(place is None for place in blocked),
                }
            )
            if honest and flagged:
                failures.append(f"{flagged} of {len(met)} honest sessions ({kind}) met something")
    return Report(
        f"detection: sessions of {HORIZON} prompts through the guard, default policy", rows, failures=failures
    )


async def _sessions(corpus: Corpus, make: object, seconds: float) -> list[dict[str, int | None]]:
    until, found = time.monotonic() + seconds, []
    while len(found) < 3 or time.monotonic() < until:
        one = guard(watched=True)
        first: dict[str, int | None] = dict.fromkeys(("throttled", "challenged", "degraded", "blocked"))
        for place, text in enumerate(make(corpus, random.Random(5000 + len(found)), HORIZON), 1):  # type: ignore[operator]
            await ask(one, text)
            assert one.app.desk is not None
            report = await one.app.desk.report("k0")
            if report is not None and report.state in first:
                first[report.state] = first[report.state] or place
        found.append(first)
    return found


def _middle(places: Sequence[int | None]) -> float | None:
    known = [place for place in places if place is not None]
    return median(known) if 2 * len(known) > len(places) else None


def challenges() -> Report:
    """The CPU time that a client takes to solve a challenge, in Python, by its difficulty."""
    rows: list[Row] = []
    source = random.Random(3)
    issue = Challenges(b"k" * 32, FakeClock(), source.randrange).issue
    for difficulty in range(HARDEST + 1):
        took = []
        for _ in range(15):
            challenge = issue("a", difficulty)
            before = time.process_time()
            solve(challenge)
            took.append((time.process_time() - before) * 1e3)
        rows.append(
            {
                "target": f"2^{difficulty} x {MAX_NUMBER:,} numbers",
                "mean_ms": sum(took) / len(took),
                "slowest_ms": max(took),
            }
        )
    return Report("detection: the work of a challenge, solved in Python", rows)


def run(seconds: int) -> list[Report]:
    """The benchmark."""
    corpus = read(DATA) if DATA.is_dir() else made_up(1)
    reports = [
        asyncio.run(cost(corpus)),
        asyncio.run(loop_time()),
        asyncio.run(sessions(corpus, 8 * seconds)),
        challenges(),
    ]
    if not DATA.is_dir():
        reports.append(Report("detection", missing={"public data": "figures are on made-up texts, and no claim"}))
    return reports
