"""What `/metrics` shows: counts and times by endpoint, public model and code; never by key or client's text.

Counted in plain dictionaries and handed to prometheus_client when somebody asks: its own counters, with a
lock and several calls each, took 8 of the guard's 50 µs a request.
"""

import os
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from llmguard.quota.rule import Rule

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("Requests answered.", ("endpoint", "model", "status")),
    "decisions": ("Denials, and what observe mode let pass.", ("control", "code", "mode")),
    "tokens": ("Tokens as upstreams report them.", ("model", "direction")),
    "quota_reserved_tokens": ("Tokens held before requests were forwarded.", ()),
    "quota_refunded_tokens": ("Of these, tokens that were not used and given back.", ()),
    "quota_overrun_tokens": ("Tokens that upstreams used beyond what was held.", ()),
    "quota_denials": ("Limits that a request did not fit into.", ("per", "of", "every_s")),
    "prompts": ("Prompts handed in to detection; one of nothing is not read.", ("outcome",)),
    "second_looks": ("Prompts looked at a second time, or shed because too many waited.", ("outcome",)),
    "risk_changes": ("Changes of state, of keys and clusters.", ("scope", "before", "state")),
    "webhooks": ("Alerts delivered, given up after all tries, or dropped because too many waited.", ("outcome",)),
    "upstream_errors": ("Attempts at an upstream that failed.", ("upstream", "code")),
}
RESERVED, REFUNDED, OVERRUN = ("quota_reserved_tokens",), ("quota_refunded_tokens",), ("quota_overrun_tokens",)
TIMES: dict[str, str] = {
    "request_duration_seconds": "From the request's head to the answer's end.",
    "first_byte_seconds": "From the request's head to the answer's first byte.",
}


class Times(msgspec.Struct):
    """A histogram: how many lie at or below each bound and above the one before, and their sum."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Tally(msgspec.Struct):
    """All figures of one process: counts by (name, labels …), times by (name, endpoint)."""

    counts: dict[tuple[str, ...], int] = msgspec.field(default_factory=dict)
    times: dict[tuple[str, str], Times] = msgspec.field(default_factory=dict)
    in_flight: int = 0
    standing: dict[str, int] = msgspec.field(default_factory=dict)

    def count(self, amount: int, *key: str) -> None:
        """Add to a counter."""
        self.counts[key] = self.counts.get(key, 0) + amount

    def time(self, name: str, endpoint: str, seconds: float) -> None:
        """Add to a histogram."""
        times = self.times.get((name, endpoint))
        if times is None:
            times = self.times[name, endpoint] = Times()
        times.add(seconds)

    def merge(self, other: "Tally") -> None:
        """Add what another process has counted."""
        for key, amount in other.counts.items():
            self.count(amount, *key)
        for place, times in other.times.items():
            mine = self.times.setdefault(place, Times())
            mine.counts = [a + b for a, b in zip(mine.counts, times.counts, strict=True)]
            mine.total += times.total
        self.in_flight += other.in_flight
        for state, keys in other.standing.items():
            self.standing[state] = self.standing.get(state, 0) + keys


class Metrics:
    """The figures of one process, and with a `shared` folder the sum over all workers that write there."""

    def __init__(self, shared: Path | None = None) -> None:
        self._tally = Tally(counts={RESERVED: 0, REFUNDED: 0, OVERRUN: 0})
        self._shared = shared
        self._file = f"{os.getpid()}.msgpack"

    def served(self, endpoint: str, model: str, status: int, duration_s: float, first_byte_s: float | None) -> None:
        """Count one request; `model` is a configured name or ""."""
        self._tally.count(1, "requests", endpoint, model, str(status))
        self._tally.time("request_duration_seconds", endpoint, duration_s)
        if first_byte_s is not None:
            self._tally.time("first_byte_seconds", endpoint, first_byte_s)

    def decided(self, control: str, code: str, mode: str) -> None:
        """Count a denial (`enforce`), or one that was only noted (`observe`)."""
        self._tally.count(1, "decisions", control, code, mode)

    def spent(self, model: str, input_tokens: int, output_tokens: int) -> None:
        """Count tokens."""
        self._tally.count(input_tokens, "tokens", model, "input")
        self._tally.count(output_tokens, "tokens", model, "output")

    def settled(self, held_input: int, held_output: int, given: int, made: int) -> None:
        """Count what was held of tokens and what became of it; what an input or output took beyond it is an overrun."""
        counts, held = self._tally.counts, held_input + held_output
        counts[RESERVED] += held
        if held > given + made:
            counts[REFUNDED] += held - given - made
        if given > held_input or made > held_output:
            counts[OVERRUN] += max(0, given - held_input) + max(0, made - held_output)

    def over_limit(self, rules: Iterable[Rule]) -> None:
        """Count the limits that were too tight for a request."""
        for rule in rules:
            every = "" if rule.every_s is None else f"{rule.every_s:g}"
            self._tally.count(1, "quota_denials", rule.per, rule.of, every)

    def upstream_failed(self, upstream: str, code: str) -> None:
        """Count an attempt that failed."""
        self._tally.count(1, "upstream_errors", upstream, code)

    def prompt_seen(self, read: bool) -> None:
        """Count a prompt."""
        self._tally.count(1, "prompts", "read" if read else "empty")

    def prompts_lost(self, count: int) -> None:
        """Count prompts that never came to be judged, because the store was away for too long."""
        self._tally.count(count, "prompts", "lost")

    def second_look(self, outcome: str, count: int = 1) -> None:
        """Count prompts that were looked at again (`done`), or not (`shed`)."""
        self._tally.count(count, "second_looks", outcome)

    def risk_changed(self, scope: str, before: str, state: str) -> None:
        """Count a change of state."""
        self._tally.count(1, "risk_changes", scope, before, state)

    def standing(self, states: Iterable[tuple[str, int]]) -> None:
        """How many keys are in each state but the normal one."""
        self._tally.standing = dict(states)

    def webhook(self, outcome: str) -> None:
        """Count an alert that was delivered or given up."""
        self._tally.count(1, "webhooks", outcome)

    def begin(self) -> None:
        """A request is in flight."""
        self._tally.in_flight += 1

    def end(self) -> None:
        """It no longer is."""
        self._tally.in_flight -= 1

    def share(self) -> None:
        """Write this process's figures for the other workers, if there are any."""
        if self._shared is not None:
            draft = self._shared / f"{self._file}.draft"
            draft.write_bytes(msgspec.msgpack.encode(self._tally))
            draft.replace(self._shared / self._file)

    def registry(self) -> CollectorRegistry:
        """The figures of this process alone, as they are whenever somebody asks."""
        registry = CollectorRegistry()
        registry.register(_Exposition(self._tally))
        return registry

    def exposition(self) -> bytes:
        """The figures in Prometheus' text format."""
        tally = Tally()
        tally.merge(self._tally)
        if self._shared is not None:
            for file in self._shared.glob("*.msgpack"):
                if file.name != self._file:
                    tally.merge(_of_another(file))
        registry = CollectorRegistry()
        registry.register(_Exposition(tally))
        return generate_latest(registry)


def _of_another(file: Path) -> Tally:
    """What another worker wrote. One that has ended still counts, for a counter never goes back."""
    tally = msgspec.msgpack.decode(file.read_bytes(), type=Tally)
    try:
        os.kill(int(file.stem), 0)
    except ProcessLookupError:
        tally.in_flight = 0
        tally.standing = {}
    return tally


class _Exposition(Collector):
    """A tally as prometheus_client's families."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """Every family, also those that nothing was counted in yet."""
        for name, (what, labels) in COUNTERS.items():
            counter = CounterMetricFamily(f"llmguard_{name}", what, labels=labels)
            for key, amount in self._tally.counts.items():
                if key[0] == name:
                    counter.add_metric(key[1:], amount)
            if not labels and not counter.samples:
                counter.add_metric((), 0)
            yield counter
        for name, what in TIMES.items():
            histogram = HistogramMetricFamily(f"llmguard_{name}", what, labels=("endpoint",))
            for (kind, endpoint), times in self._tally.times.items():
                if kind == name:
                    histogram.add_metric((endpoint,), _cumulative(times), times.total)
            yield histogram
        flagged = GaugeMetricFamily("llmguard_flagged_keys", "Keys in a state but the normal one.", labels=("state",))
        for state, keys in self._tally.standing.items():
            flagged.add_metric((state,), keys)
        yield flagged
        yield GaugeMetricFamily(
            "llmguard_in_flight_requests", "Requests being served now.", value=self._tally.in_flight
        )


def _cumulative(times: Times) -> list[tuple[str, float]]:
    """Buckets as Prometheus wants them: each counts all at or below its bound."""
    below, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), times.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets
