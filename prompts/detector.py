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

from prompts.calibration import ALPHA, channels
from prompts.evidence import Channels, Evidence
from prompts.grams import Grams, Ids
from prompts.normalise import fold, shortened, without_courtesy
from prompts.prompt import Prompt, by_length
from prompts.signals import affixes, brevity, chains, novelty, spans
from prompts.tokens import Tokens
from prompts.window import KEPT, Window, ends

LEAST_SEEN = tuple(chains + lag for _, chains, lag in affixes.TESTS) + tuple(chains for _, chains in spans.TESTS)
"""Prompts after which each of these tests has a chance to hit."""

# The places of the other channels in `calibration.channels()`.
NOVELTY = len(LEAST_SEEN)
BREVITY = NOVELTY + 1
CHAINS = BREVITY + 2

FEW = 24
"""Tokens of a prompt below which its single tokens are remembered."""


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
        self._grams = Grams(cells, tokens.size)
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
        prompt = self._compared(window, ids, kept)
        events = self._events(window, prompt)
        self._keep(window, prompt, digest)
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

    def _compared(self, window: Window, ids: list[int], kept: Ids) -> Prompt:
        words = frozenset(ids)
        cells = self._grams.cells(kept, window.salt)
        return Prompt(
            ids=kept,
            length=len(ids),
            seen=window.seen,
            words=words,
            ends=ends(ids),
            joined=window.join(words),
            cells=cells,
            counts=self._grams.counts(cells),
        )

    def _events(self, window: Window, prompt: Prompt) -> list[int]:
        """A code for each channel that scores the prompt: its place, and `size` more for a hit."""
        offsets, size = self._channels.offsets, self._channels.size
        seen, length, pairs = prompt.seen, prompt.length, len(prompt.ids) - 1
        found: list[tuple[int, int, bool]] = []
        if prompt.joined.place == 1:
            stratum = by_length(length)
            shared, others, ages = window.affixes(prompt.ends, self._tokens.bits, affixes.MOST)
            spanned = spans.hits(prompt.counts[pairs:], self._tokens.bits, prompt.ids)
            hits = (*affixes.hits(shared, others, ages), *spanned)
            found = [(i, stratum, hit) for i, hit in enumerate(hits) if seen >= LEAST_SEEN[i]]
        if novelty.scored(length, seen):
            begins = self._tokens.begins[prompt.ids[1:]]
            found.append((NOVELTY, novelty.stratum(seen), novelty.hit(prompt.counts[:pairs], begins)))
        if brevity.scored(seen):
            stratum = brevity.stratum(seen)
            short, new = self._brevity(window, prompt)
            found += [(BREVITY, stratum, short), (BREVITY + 1, stratum, new)]
        back_to_head, star = chains.hits(prompt.joined)
        found += [(CHAINS, 0, back_to_head), (CHAINS + 1, by_length(length), star)]
        return [offsets[channel] + stratum + size * hit for channel, stratum, hit in found]

    def _brevity(self, window: Window, prompt: Prompt) -> tuple[bool, bool]:
        if prompt.length > brevity.LENGTH:
            return False, False
        return True, brevity.new(self._grams.counts(self._grams.words(prompt.ids, window.salt)))

    def _keep(self, window: Window, prompt: Prompt, digest: int) -> None:
        began = prompt.joined.place == 1
        gone = window.add(prompt.ends, prompt.ids.tobytes(), digest, prompt.words, prompt.joined)
        counted = len(prompt.cells) if began else len(prompt.ids) - 1
        self._grams.add(prompt.cells[:counted], prompt.counts[:counted])
        if prompt.length < FEW:
            words = self._grams.words(prompt.ids, window.salt)
            self._grams.add(words, self._grams.counts(words))
        if gone is not None:
            self._remove(window, *gone)

    def _remove(self, window: Window, tokens: bytes, began: bool) -> None:
        ids = np.frombuffer(tokens, np.uint16)
        cells = self._grams.cells(ids, window.salt)
        self._grams.remove(cells if began else cells[: len(ids) - 1])
        if len(ids) < FEW:
            self._grams.remove(self._grams.words(ids, window.salt))
