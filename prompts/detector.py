"""The detector: one prompt of one principal in, a reading out.

1. Fold    the text as it is compared, and its tokens.
2. Score   against the principal's window, and bet on the events.
3. Link    the principal with others whose prompts share long runs.
4. Pool    where it is linked: the same prompt against the cluster's window, on the cluster's evidence; but
           edits of one text are a principal's own, and are scored in its own window. What it adds to that
           evidence is its part.
5. Read    both.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from prompts.calibration import ALPHA, channels
from prompts.evidence import Channels, Evidence
from prompts.linkage import Linkage
from prompts.parts import Part, Parts
from prompts.portrait import OTHERS, OWN, Beside
from prompts.prompt import Said
from prompts.scorer import Scorer, Taken
from prompts.signals.near_duplicates import CLOSE
from prompts.tokens import Tokens
from prompts.window import Window

if TYPE_CHECKING:  # it loads FAISS
    from prompts.lookout import Lookout

OWN_PART = 2.0
"""log10 of the e-value that a member's own prompts must reach, in `parts`, before its cluster's flag is its own."""

LONG = 24
"""Tokens of a prompt from which a near-duplicate of another key's is more than a common question."""

CLUSTER = "cluster\0"
"""Before the name of a cluster's stream: no principal has such a name."""

ABSORBED = 32
"""Prompts of a new member that a cluster's window takes over."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One channel's part: log10 of its own e-value, and p = min(1, 1/e), at the cluster or the principal alone."""

    log10_e: float
    p: float


class Reading(NamedTuple):
    """What is known of a principal after a prompt.

    `scored` is false for an empty prompt and for a repeat. `log10_e` is that of the principal's
    own process, `flagged_after` the number of its scored prompts at which it first reached
    1/alpha. `cluster` names the principal's cluster, if any, with the cluster's process;
    `flagged` is true where the own process flags or ever did, or a cluster's did while the
    principal's own part in it was worth 10^OWN_PART.
    """

    scored: bool
    prompts: int
    log10_e: float
    flagged_after: int | None
    cluster: str | None
    cluster_log10_e: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class Pooled:
    """What is known of a cluster: the prompts scored in it, its process, and whose keys it is made of."""

    prompts: int
    log10_e: float
    flagged_after: int | None
    members: tuple[str, ...]


class Principal:
    """The state of one stream: a window, its evidence, and where it is a cluster, its members' parts in it."""

    __slots__ = ("by_cluster", "evidence", "parts", "window")

    def __init__(self, window: Window, evidence: Evidence) -> None:
        self.window = window
        self.evidence = evidence
        self.by_cluster = False
        self.parts: Parts | None = None


class Detector:
    """Windows and evidence of many principals, in bounded memory.

    Guarantee: under the condition in `evidence`, an honest principal's own process ever flags it
    with a probability of at most alpha. Each cluster that it is ever in adds at most alpha where all
    members are honest, and at most 10^-OWN_PART whatever the others send. What is granted is
    fixed: no history of a principal raises it, so that nobody can train it.

    `prompts`: all windows together hold at most so many; beyond that the window of the principal
    that is longest silent is emptied, and its evidence is kept. `principals`: evidence is kept
    for at most so many. `lookout`: where it is given, near-duplicates of other keys' prompts link too.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        window: int = 1000,
        prompts: int = 100_000,
        principals: int = 100_000,
        alpha: float = ALPHA,
        granted: Channels | None = None,
        lookout: "Lookout | None" = None,
    ) -> None:
        self.channels = granted or Channels(channels())
        self.scorer = Scorer(tokens, self.channels)
        self.linkage = Linkage(tokens, cells=1 << max(16, (8 * prompts - 1).bit_length()), keys=principals)
        self.lookout = lookout
        self._capacity = window
        self._most_prompts = prompts
        self._most = principals
        self._held = 0
        self._threshold = log10(1 / alpha)
        # The longest silent first: of those whose evidence is kept, and of those with a window.
        self._principals: OrderedDict[str, Principal] = OrderedDict()
        self._filled: OrderedDict[str, Principal] = OrderedDict()

    def __len__(self) -> int:
        return self._held

    def observe(self, principal: str, text: str, tags: frozenset[str] = frozenset()) -> Reading:
        """Take one prompt, what the user newly said, and say how the evidence stands.

        `tags` are what else may be shared with other keys: address prefix, tenant, payment,
        fingerprint of parameters, each with its kind in front.
        """
        return self.take(principal, self.scorer.read(text), tags)

    def take(self, principal: str, said: Said | None, tags: frozenset[str] = frozenset()) -> Reading:
        """The same for a prompt that was read before; None is one of nothing."""
        own = self._state(principal)
        if said is None:
            return self._reading(principal, own, False)
        before = len(own.window)
        taken = self.scorer.take(own.window, said)
        self._took(principal, own, before, taken)
        if taken is not None:
            cluster = self.linkage.see(principal, said, tags)
            dissolved = self.linkage.dissolved()
            for name in dissolved:
                self.forget(_pooled(name))
            if cluster is not None and cluster not in dissolved:
                self._pool(principal, own, cluster, said, taken)
            if self.lookout is not None:
                self._look(self.lookout, principal, said)
        return self._reading(principal, own, taken is not None)

    def signals(self, principal: str) -> dict[str, Signal]:
        """Each channel's own evidence on a principal; of nobody for one that is not known."""
        state = self._principals.get(principal)
        found = state.evidence.by_channel() if state else {}
        return {name: Signal(value, min(1.0, 10.0**-value)) for name, value in found.items()}

    def beside(self, principal: str) -> Beside:
        """A principal's last prompts, and a sample of others': nothing without a lookout, whose fingerprints count.

        The same windows give the same.
        """
        state = self._filled.get(principal)
        if state is None or self.lookout is None:
            return Beside()
        generator = np.random.default_rng(state.window.seen)
        names = [name for name in self._filled if name != principal and not name.startswith(CLUSTER)]
        chosen = [names[place] for place in generator.permutation(len(names))[:OTHERS].tolist()]
        each = -(-OTHERS // max(1, len(chosen)))
        others = [ids for name in chosen for ids in self._filled[name].window.latest(each)][:OTHERS]
        return Beside(state.window.latest(OWN), others, self.lookout.fingerprints, generator)

    def pooled(self, cluster: str) -> Pooled | None:
        """How the evidence of a cluster stands, by the name that readings give it; None for none."""
        state = self._cluster(cluster)
        if state is None or self.linkage.cluster(cluster) != cluster:
            return None
        evidence = state.evidence
        return Pooled(evidence.scored, evidence.log10, evidence.flagged_after, self.linkage.members(cluster))

    def pooled_signals(self, cluster: str) -> dict[str, Signal]:
        """Each channel's own evidence on a cluster."""
        return self.signals(_pooled(cluster))

    def forget(self, principal: str) -> None:
        """Drop a principal's window and evidence, its part in its cluster's too: a pardon, or a key that is gone."""
        together = self._together(principal)
        if together is not None:
            together.of.pop(principal, None)
        state = self._principals.pop(principal, None)
        if state is not None:
            self._empty(principal, state)

    def _took(self, name: str, state: Principal, before: int, taken: Taken | None) -> None:
        """What follows from a prompt that a window, of so many before, took or knew."""
        self._held += len(state.window) - before
        self._filled[name] = state
        self._filled.move_to_end(name)
        if taken is not None:
            state.evidence.update(taken.events, self._threshold)
        while self._held > self._most_prompts:
            self._empty(*next(iter(self._filled.items())))

    def _pool(self, principal: str, own: Principal, cluster: str, said: Said, taken: Taken) -> None:
        state = self._state(_pooled(cluster))
        parts = state.parts = state.parts or Parts(self.channels)
        part = parts.of.get(principal)
        if part is None:
            part = parts.of[principal] = Part()
            self._absorb(state, own)
        before = len(state.window)
        pooled = self.scorer.pool(state.window, said, taken, *part.chain(taken))
        if pooled is not None:
            pooled = parts.take(part, taken, pooled, said.length)
        self._took(_pooled(cluster), state, before, pooled)

    def _look(self, lookout: "Lookout", principal: str, said: Said) -> None:
        for near in lookout.see(principal, said, self.linkage.met(principal)):
            # One prompt is one meeting, however it is found.
            if near.other is not None and near.others >= CLOSE and near.length >= LONG and not near.met:
                self.linkage.near(near.principal, near.other)

    def _absorb(self, cluster: Principal, member: Principal) -> None:
        """What a member said before it was linked is the cluster's past: later prompts are compared with it."""
        before = len(cluster.window)
        self.scorer.absorb(cluster.window, member.window, ABSORBED)
        self._held += len(cluster.window) - before

    def _state(self, name: str) -> Principal:
        state = self._principals.get(name)
        if state is not None:
            self._principals.move_to_end(name)
            return state
        if len(self._principals) >= self._most:
            self.forget(next(iter(self._principals)))
        window = Window(self._capacity, self.scorer.hashes)
        state = self._principals[name] = Principal(window, Evidence(self.channels))
        return state

    def _empty(self, name: str, state: Principal) -> None:
        self._filled.pop(name, None)
        self._held -= len(state.window)
        state.window = Window(self._capacity, self.scorer.hashes)
        if state.parts is not None:
            state.parts.leave()
        together = self._together(name)
        part = together.of.get(name) if together is not None else None
        if part is not None:
            part.leave()

    def _together(self, principal: str) -> Parts | None:
        """The parts of a principal's cluster."""
        pooled = self._cluster(self.linkage.cluster(principal))
        return pooled.parts if pooled is not None else None

    def _cluster(self, name: str | None) -> Principal | None:
        """The state of a cluster."""
        return self._principals.get(_pooled(name)) if name is not None else None

    def _reading(self, principal: str, own: Principal, scored: bool) -> Reading:
        evidence = own.evidence
        cluster = self.linkage.cluster(principal)
        pooled = self._cluster(cluster)
        # Who was flagged with its cluster stays so, whatever that becomes a part of.
        if pooled is not None and pooled.evidence.flagged_after is not None and not own.by_cluster:
            part = pooled.parts.of.get(principal) if pooled.parts is not None else None
            own.by_cluster = part is not None and part.log10 >= OWN_PART
        return Reading(
            scored=scored,
            prompts=evidence.scored,
            log10_e=evidence.log10,
            flagged_after=evidence.flagged_after,
            cluster=cluster,
            cluster_log10_e=pooled.evidence.log10 if pooled is not None else 0.0,
            flagged=own.by_cluster or evidence.flagged_after is not None,
        )


def _pooled(cluster: str) -> str:
    """The name of a cluster's stream."""
    return f"{CLUSTER}{cluster}"
