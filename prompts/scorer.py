"""A prompt against a window, as events for the evidence: what is compared, and in which channels it hits.

1. Repeats  a prompt that is in the window already is a retry or a regeneration: not scored.
2. Compare  with the window: chain, affixes, pairs and runs.
3. Events   a code for each channel that scores it, from what the window held before.
4. Keep     the prompt; the oldest goes.
"""

from collections.abc import Sequence

import numpy as np

from prompts.evidence import Channels
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


class Scorer:
    """Tokens, and the table of grams that all windows share; `cells` of it, a power of two.

    128 cells for each prompt that all windows hold together keep its load under 1.
    """

    def __init__(self, tokens: Tokens, channels: Channels, cells: int) -> None:
        self.tokens = tokens
        self._channels = channels
        self._grams = Grams(cells, tokens.size)

    @property
    def size(self) -> int:
        """Bytes of the shared table."""
        return self._grams.size

    def ids(self, text: str) -> list[int]:
        """The tokens of what a user said that are compared; empty for a text of nothing."""
        return self.tokens.ids(without_courtesy(fold(shortened(text))))

    def events(self, window: Window, ids: Sequence[int]) -> list[int] | None:
        """The events of a prompt of at least one token, which the window then holds; None for a repeat."""
        whole = np.array(ids, np.uint16)
        digest = hash(whole.tobytes())
        if window.holds(digest):
            return None
        prompt = self._compared(window, ids, whole[:KEPT])
        events = self._events(window, prompt)
        self._keep(window, prompt, digest)
        return events

    def forget(self, window: Window) -> None:
        """Take a window's prompts out of the shared table."""
        for tokens, began in window.drain():
            self._remove(window, tokens, began)

    def _compared(self, window: Window, ids: Sequence[int], kept: Ids) -> Prompt:
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
            shared, others, ages = window.affixes(prompt.ends, self.tokens.bits, affixes.MOST)
            spanned = spans.hits(prompt.counts[pairs:], self.tokens.bits, prompt.ids)
            hits = (*affixes.hits(shared, others, ages), *spanned)
            found = [(i, stratum, hit) for i, hit in enumerate(hits) if seen >= LEAST_SEEN[i]]
        if novelty.scored(length, seen):
            begins = self.tokens.begins[prompt.ids[1:]]
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
