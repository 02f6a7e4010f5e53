"""The detector: one prompt of one principal in, a reading out.

1. Fold     the text as it is compared, and its tokens.
2. Repeats  a prompt that is in the window already is a retry or a regeneration: not scored.
3. Compare  with the window: chain, affixes, pairs and runs.
4. Bet      the events of each channel, on evidence built before this prompt.
5. Keep     the prompt; the oldest goes.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import NDArray

from prompts.calibration import ALPHA, channels
from prompts.evidence import Channels, Evidence
from prompts.grams import Grams
from prompts.normalise import fold, shortened, without_courtesy
from prompts.prompt import Prompt, by_length
from prompts.signals import affixes, brevity, chains, novelty, spans
from prompts.tokens import Tokens
from prompts.window import KEPT, Window, ends

NOVELTY = len(affixes.TESTS) + len(spans.TESTS)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a principal after a prompt.

    `scored` is false for an empty prompt and for a repeat. `log10_e` is that of the process,
    `flagged_after` the number of scored prompts at which it first reached 1/alpha.
    """

    scored: bool
    prompts: int
    log10_e: float
    flagged_after: int | None


class Principal:
    """The state of one principal: a window and its evidence."""

    __slots__ = ("evidence", "window")

    def __init__(self, window: Window, evidence: Evidence) -> None:
        self.window = window
        self.evidence = evidence


class Detector:
    """Windows and evidence of many principals, in bounded memory.

    `cells` of the shared table of grams: 128 for each prompt that all windows may hold together
    keeps its load under 1. `principals`: at most so many are kept, the one longest silent is
    forgotten with its evidence.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        window: int = 1000,
        cells: int = 1 << 24,
        principals: int = 100_000,
        alpha: float = ALPHA,
        granted: Channels | None = None,
    ) -> None:
        self._tokens = tokens
        self._capacity = window
        self._grams = Grams(cells)
        self._most = principals
        self._threshold = log10(1 / alpha)
        self._channels = granted or Channels(channels())
        self._principals: OrderedDict[str, Principal] = OrderedDict()

    def observe(self, principal: str, text: str) -> Reading:
        """Take one prompt, what the user newly said, and say how the evidence stands."""
        state = self._state(principal)
        events = self.events(state.window, text)
        evidence = state.evidence
        if events is not None:
            evidence.update(events, self._threshold)
        return Reading(events is not None, evidence.scored, evidence.log10, evidence.flagged_after)

    def events(self, window: Window, text: str) -> list[int] | None:
        """The events of a prompt, which the window then holds; None for a prompt that is not scored."""
        ids = self._tokens.ids(without_courtesy(fold(shortened(text))))
        if not ids:
            return None
        kept = np.array(ids[:KEPT], np.uint16)
        whole = np.array(ids, np.uint16).tobytes()
        digest = hash(whole)
        if window.holds(digest):
            return None
        prompt = self._compared(window, ids, kept.astype(np.uint64))
        events = self._events(window, prompt)
        self._keep(window, prompt, kept.tobytes(), digest)
        return events

    def forget(self, principal: str) -> None:
        """Drop a principal's window and evidence."""
        state = self._principals.pop(principal, None)
        if state is not None:
            for tokens, began in state.window.drain():
                self._remove(state.window, tokens, began)

    def _state(self, principal: str) -> Principal:
        state = self._principals.get(principal)
        if state is not None:
            self._principals.move_to_end(principal)
            return state
        if len(self._principals) == self._most:
            self.forget(next(iter(self._principals)))
        state = self._principals[principal] = Principal(self.window(principal), Evidence(self._channels))
        return state

    def window(self, principal: str) -> Window:
        """An empty window for a principal."""
        return Window(self._capacity, hash(principal))

    def _compared(self, window: Window, ids: list[int], kept: NDArray[np.uint64]) -> Prompt:
        words = frozenset(ids)
        keys = self._grams.keys(kept, window.salt)
        counts = self._grams.counts
        return Prompt(
            ids=kept,
            length=len(ids),
            seen=window.seen,
            words=words,
            ends=ends(ids),
            joined=window.join(words),
            keys=keys,
            token_counts=counts(keys.tokens),
            pair_counts=counts(keys.pairs),
            run_counts=counts(keys.runs),
        )

    def _events(self, window: Window, prompt: Prompt) -> list[int]:
        """A code for each channel that scores the prompt: its place, and `size` more for a hit."""
        offsets, size = self._channels.offsets, self._channels.size
        seen, length = prompt.seen, prompt.length
        bits = self._tokens.bits
        events: list[int] = []
        if prompt.joined.place == 1:
            stratum = by_length(length)
            shared, others, ages = window.affixes(prompt.ends, bits, affixes.MOST)
            found = [
                *zip(affixes.tested(seen), affixes.hits(shared, others, ages), strict=True),
                *zip(spans.tested(seen), spans.hits(prompt.run_counts, bits[prompt.ids]), strict=True),
            ]
            events = [offsets[i] + stratum + size * hit for i, (tested, hit) in enumerate(found) if tested]
        begins = ~self._tokens.continues[prompt.ids]
        if novelty.tested(length, seen, begins):
            events.append(offsets[NOVELTY] + novelty.stratum(seen) + size * novelty.hit(prompt.pair_counts, begins))
        if brevity.tested(seen):
            stratum = brevity.stratum(seen)
            short, new = brevity.hits(length, prompt.token_counts)
            events.append(offsets[NOVELTY + 1] + stratum + size * short)
            events.append(offsets[NOVELTY + 2] + stratum + size * new)
        for channel, hit in enumerate(chains.hits(prompt.joined), NOVELTY + 3):
            events.append(offsets[channel] + size * hit)
        return events

    def _keep(self, window: Window, prompt: Prompt, ids: bytes, digest: int) -> None:
        gone = window.add(prompt.ends, ids, digest, prompt.words, prompt.joined)
        self._grams.add(prompt.keys.tokens)
        self._grams.add(prompt.keys.pairs)
        if prompt.joined.place == 1:
            self._grams.add(prompt.keys.runs)
        if gone is not None:
            self._remove(window, *gone)

    def _remove(self, window: Window, ids: bytes, began: bool) -> None:
        keys = self._grams.keys(np.frombuffer(ids, np.uint16).astype(np.uint64), window.salt)
        self._grams.remove(keys.tokens)
        self._grams.remove(keys.pairs)
        if began:
            self._grams.remove(keys.runs)
