"""The watch over prompt streams: a prompt in, what it changes out. The one place where evidence becomes a standing.

The same code runs inline in a guard of one process and in the workers that several guards share. It waits for nothing
and knows no store: whoever drives it writes down what changed.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from llmguard.risk.case import Case, Group
from llmguard.risk.habits import Usual
from llmguard.risk.report import ORDER, Alert, Report, Scope, Signal
from llmguard.risk.response import Weighed, after, cooled_at, heat_at, reply, threshold
from llmguard.risk.sight import Sight
from llmguard.risk.standing import NORMAL, REMEMBERED_S, Standing, State, note_of
from llmguard.settings_policies import Policy, Prompts
from prompts.detector import Detector, Reading
from prompts.detector import Signal as Channel
from prompts.portrait import OWN
from prompts.pvalues import to_e

MOST: Final = 100_000
"""Keys that are known at a time; the longest silent is forgotten first."""
NO_PROMPTS: Final = Prompts()
LARGEST: Final = 1e300


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written down: a key's note and for how long, where it changed; and what is to be told."""

    key: str
    note: str | None
    lasts_s: float
    alerts: tuple[Alert, ...]


class Watch:
    """Detector, standings and what was told, of all keys that it is given the prompts of.

    `new_id` gives ids of alerts. `policies` may be replaced when settings are reloaded.
    """

    def __init__(self, detector: Detector, policies: Mapping[str, Policy], new_id: Callable[[], str]) -> None:
        self._detector = detector
        self._new_id = new_id
        self._cases: OrderedDict[str, Case] = OrderedDict()
        self._hot: dict[str, Case] = {}
        self._groups: dict[str, Group] = {}
        self._usual: dict[str, Usual] = {}
        self.policies = policies

    def knows(self, key: str) -> bool:
        """Whether a key was met, so that its standing is known here."""
        return key in self._cases

    def meet(self, sight: Sight, standing: Standing) -> None:
        """Take up a key with the standing that was noted of it elsewhere or before."""
        case = self._cases[sight.key] = Case(sight.key, sight.user, sight.tenant, standing=standing)
        self._follow(case, sight)
        case.state = self._state(case, sight.at)
        self._warm(case)
        if len(self._cases) > MOST:
            gone, _ = self._cases.popitem(last=False)
            self._hot.pop(gone, None)

    def adopt(self, key: str, standing: Standing, now: float) -> None:
        """Go by the standing that is noted elsewhere, and tell nobody: after a rebuilding, which may know less."""
        case = self._cases.get(key)
        if case is not None and not case.excused:
            case.standing = standing
            case.state = self._state(case, now)
            self._warm(case)

    def see(self, sight: Sight) -> Change | None:
        """Take one prompt; None where it changes nothing that others must know."""
        if sight.key not in self._cases:
            self.meet(sight, NORMAL)
        case = self._cases[sight.key]
        self._cases.move_to_end(sight.key)
        self._follow(case, sight)
        case.habits.note(sight)
        for model, label, margin in sight.answers:
            self._usual.setdefault(model, Usual()).note(label, margin)
        cooled = self._cool(case, sight.at)
        reading = self._detector.take(sight.key, self._detector.scorer.said(sight.tokens), sight.tags)
        before = case.standing
        weighed = self._weigh(case, reading, sight.at)
        case.standing = after(before, weighed, case.ladder, sight.at)
        self._warm(case)
        alerts = (*cooled, *self._grouped(case, reading, sight.at), *self._told(case, sight.at))
        return self._change(case, sight.at, alerts) if alerts or case.standing != before else None

    def cool(self, now: float) -> Iterator[Change]:
        """The changes that time alone has made by now."""
        for case in [case for case in self._hot.values() if case.state != self._state(case, now) or _over(case, now)]:
            alerts = self._cool(case, now)
            yield self._change(case, now, (*alerts, *self._told(case, now)))

    def pardon(self, key: str, now: float) -> Change | None:
        """Forget what is held against a key, its evidence included; None for a key that was not met."""
        case = self._cases.get(key)
        if case is None:
            return None
        self._restart(case)
        case.standing = NORMAL
        self._warm(case)
        return self._change(case, now, tuple(self._told(case, now)))

    def pin(self, key: str, state: State | None, until: float | None, now: float) -> Change | None:
        """Hold a key in a state, until then or for good; None lets go of it. None for a key that was not met."""
        case = self._cases.get(key)
        if case is None:
            return None
        case.standing = replace(case.standing, pinned=state, pinned_until=until)
        self._warm(case)
        return self._change(case, now, tuple(self._told(case, now)))

    # --- what operators read ---------------------------------------------------------------

    def report(self, key: str, now: float) -> Report | None:
        """How a key stands."""
        case = self._cases.get(key)
        if case is None:
            return None
        return Report(
            scope="key",
            id=key,
            policy=case.policy,
            state=self._state(case, now),
            prompts=case.prompts,
            log10_e=_evidence(case),
            threshold_log10_e=case.threshold,
            flagged_at=case.flagged_at,
            flagged_after_prompts=case.flagged_after,
            cluster=case.cluster,
            signals=self._signals(case),
            excused=case.excused,
            pinned=case.standing.pinned is not None,
            strikes=case.standing.strikes,
            heat=max(0.0, heat_at(case.standing, now)),
            last_seen_at=case.seen_at,
        )

    def portraying(self, key: str) -> Callable[[], dict[str, Signal]]:
        """What says how a key's last prompts look beside others': 10 ms of work, for a thread and a reader."""
        beside = self._detector.beside(key)
        return lambda: {name: Signal(p, to_e(p), OWN) for name, p in beside.portrait().items()}

    def cluster(self, name: str, now: float) -> Report | None:
        """How a cluster stands: its own process, and the worst state among its members."""
        pooled = self._detector.pooled(name)
        if pooled is None:
            return None
        members = [self._cases[key] for key in pooled.members if key in self._cases]
        group = self._groups.get(name)
        states = [self._state(case, now) for case in members]
        return Report(
            scope="cluster",
            id=name,
            state=max(states, key=ORDER.index, default="normal"),
            prompts=pooled.prompts,
            log10_e=pooled.log10_e,
            threshold_log10_e=min((case.threshold for case in members), default=3.0),
            flagged_at=group.flagged_at if group else None,
            flagged_after_prompts=group.flagged_after if group else None,
            cluster=name,
            signals=_channels(self._detector.pooled_signals(name), pooled.prompts),
            members=pooled.members,
            last_seen_at=max((case.seen_at for case in members), default=None),
        )

    def cluster_of(self, key: str) -> str | None:
        """The cluster that a key was last seen in."""
        case = self._cases.get(key)
        return case.cluster if case is not None else None

    def states(self) -> Mapping[State, int]:
        """How many keys are in each state but the normal one."""
        counts: dict[State, int] = {}
        for case in self._hot.values():
            counts[case.state] = counts.get(case.state, 0) + 1
        return counts

    # --- one step each ---------------------------------------------------------------------

    def _follow(self, case: Case, sight: Sight) -> None:
        """Keep to the policy that the key is under now."""
        policy = self.policies.get(sight.policy)
        prompts = (policy.prompts if policy is not None else None) or NO_PROMPTS
        case.policy = sight.policy
        case.ladder, case.excused = prompts.respond, prompts.automation == "allowed"
        case.threshold = threshold(prompts)
        case.seen_at = sight.at

    def _weigh(self, case: Case, reading: Reading, now: float) -> Weighed:
        """What a reading says of a key: by its own process, or by its cluster's where that one flags it."""
        own, pooled = reading.log10_e, reading.cluster_log10_e
        alone = own >= case.threshold
        both = alone or (reading.flagged and reading.flagged_after is None and pooled >= case.threshold)
        change = own - case.own if alone else pooled - case.pooled if case.cluster == reading.cluster else 0.0
        case.prompts, case.own, case.pooled, case.cluster = case.prompts + 1, own, pooled, reading.cluster
        if both and case.flagged_at is None:
            case.flagged_at, case.flagged_after = now, case.prompts
        return Weighed(both, (own if alone else pooled) - case.threshold, change)

    def _cool(self, case: Case, now: float) -> tuple[Alert, ...]:
        """Where the heat is gone, the evidence begins anew."""
        if not _over(case, now):
            return ()
        alerts = tuple(self._told(case, now))
        self._restart(case)
        case.standing = replace(case.standing, heat=NORMAL.heat)
        self._warm(case)
        return alerts

    def _restart(self, case: Case) -> None:
        self._detector.forget(case.key)
        case.own = case.pooled = 0.0
        case.flagged_at = case.flagged_after = None
        case.told = False

    def _state(self, case: Case, now: float) -> State:
        return "normal" if case.excused else reply(case.standing, case.ladder, now).state

    def _warm(self, case: Case) -> None:
        """Keep in view what time may change."""
        if case.standing.heat >= 0 or case.standing.pinned is not None:
            self._hot[case.key] = case
        else:
            self._hot.pop(case.key, None)

    def _told(self, case: Case, now: float) -> Iterator[Alert]:
        """The alert of a key whose state has changed; one that is excused tells once that it is flagged."""
        state = self._state(case, now)
        excused = case.excused and case.flagged_at is not None and not case.told
        if state == case.state and not excused:
            return
        before, case.state, case.told = case.state, state, case.flagged_at is not None
        yield self._alert("key", case.key, before, case, now, ())

    def _grouped(self, case: Case, reading: Reading, now: float) -> Iterator[Alert]:
        """The alert of a cluster that is flagged for the first time."""
        name = reading.cluster
        if name is None or name in self._groups or reading.cluster_log10_e < case.threshold:
            return
        pooled = self._detector.pooled(name)
        if pooled is None:
            return
        self._groups[name] = Group(now, pooled.prompts, case.threshold)
        yield self._alert("cluster", name, "normal", case, now, pooled.members)

    def _alert(
        self, scope: Scope, subject: str, before: State, case: Case, now: float, members: tuple[str, ...]
    ) -> Alert:
        pooled = self._detector.pooled(subject) if scope == "cluster" else None
        return Alert(
            id=self._new_id(),
            at=now,
            scope=scope,
            subject=subject,
            before=before,
            state=case.state,
            excused=case.excused,
            prompts=case.prompts if pooled is None else pooled.prompts,
            log10_e=_evidence(case) if pooled is None else pooled.log10_e,
            threshold_log10_e=case.threshold,
            cluster=case.cluster,
            members=members,
            signals=self._signals(case)
            if pooled is None
            else _channels(self._detector.pooled_signals(subject), pooled.prompts),
        )

    def _change(self, case: Case, now: float, alerts: tuple[Alert, ...]) -> Change:
        standing = case.standing
        lasts = max(0.0, cooled_at(standing) - now) + REMEMBERED_S
        if standing.pinned is not None:
            lasts += REMEMBERED_S * 520 if standing.pinned_until is None else max(0.0, standing.pinned_until - now)
        return Change(case.key, None if case.excused else note_of(standing), lasts, alerts)

    def _signals(self, case: Case) -> dict[str, Signal]:
        found = _channels(self._detector.signals(case.key), case.prompts)
        return found | dict(case.habits.signals(self._usual))


def _over(case: Case, now: float) -> bool:
    return case.standing.heat >= 0 > heat_at(case.standing, now)


def _evidence(case: Case) -> float:
    """The process that flags a key, or its own."""
    return max(case.own, case.pooled) if case.flagged_at is not None else case.own


def _channels(signals: Mapping[str, Channel], window: int) -> dict[str, Signal]:
    return {
        name: Signal(signal.p, min(LARGEST, 10.0 ** min(signal.log10_e, 300.0)), window)
        for name, signal in signals.items()
    }
