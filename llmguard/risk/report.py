"""What operators read of a principal and of its changes. Never a prompt, nor anything that one could be made of."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from llmguard.risk.standing import State

Scope: TypeAlias = Literal["key", "user", "tenant", "cluster"]
ORDER: Final[tuple[State, ...]] = ("normal", "throttled", "challenged", "degraded", "blocked")


class Signal(msgspec.Struct, frozen=True):
    """One statistic: its p-value, its e-value, and the number of prompts that it is about."""

    p: float
    e: float
    window: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a principal stands. Times are Unix seconds; `prompts` counts all that were handed in.

    `excused` says that the policy allows automation: it is recorded, and met by nothing. `members` are the keys of a
    cluster, and those of a user or tenant that were seen.
    """

    scope: Scope
    id: str
    policy: str = ""
    state: State = "normal"
    prompts: int = 0
    log10_e: float = 0.0
    threshold_log10_e: float = 3.0
    flagged_at: float | None = None
    flagged_after_prompts: int | None = None
    cluster: str | None = None
    signals: dict[str, Signal] = {}
    members: tuple[str, ...] = ()
    excused: bool = False
    pinned: bool = False
    strikes: int = 0
    heat: float = 0.0
    last_seen_at: float | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state: from which, to which, and the evidence then. `id` is its own, the same at every delivery."""

    id: str
    at: float
    scope: Scope
    subject: str
    before: State
    state: State
    excused: bool
    prompts: int
    log10_e: float
    threshold_log10_e: float
    cluster: str | None
    members: tuple[str, ...]
    signals: dict[str, Signal]


def together(scope: Scope, id: str, reports: Sequence[Report], threshold: float) -> Report:
    """The report of a user or a tenant: that of its worst key, with the prompts of all."""
    if not reports:
        return Report(scope=scope, id=id, threshold_log10_e=threshold)
    worst = max(reports, key=lambda report: (ORDER.index(report.state), report.flagged_at is not None, report.log10_e))
    seen = [report.last_seen_at for report in reports if report.last_seen_at is not None]
    return replace(
        worst,
        scope=scope,
        id=id,
        prompts=sum(report.prompts for report in reports),
        members=tuple(report.id for report in reports),
        last_seen_at=max(seen, default=None),
    )
