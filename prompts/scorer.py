"""A prompt against a window, as events for the evidence: what is compared, and in which channels it hits.

1. Repeats  a prompt that is in the window already is a retry or a regeneration: not scored.
2. Compare  with the window: chain, affixes, pairs and runs.
3. Events   a code for each channel that scores it, from what the window held before.
4. Keep     the prompt; the oldest goes.
"""

from collections.abc import Sequence

import numpy as np

from prompts.evidence import Channels
from prompts.grams import Grams
from prompts.normalise import fold, shortened, without_courtesy
from prompts.prompt import Prompt, Said, by_length
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


def ids_of(text: str, tokens: Tokens) -> list[int]:
    """The ids of what a user said, as it is compared: folded, without courtesies, shortened where it is long."""
    return tokens.ids(without_courtesy(fold(shortened(text))))


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

    def read(self, text: str) -> Said | None:
        """What a user said, as it is compared; None for a text of nothing."""
        return self.said(ids_of(text, self.tokens))

    def said(self, ids: Sequence[int]) -> Said | None:
        """The same of a text's ids, as `ids_of` gives them; None for none."""
        if not ids:
            return None
        whole = np.array(ids, np.uint16)
        kept = whole[:KEPT]
        return Said(kept, len(ids), frozenset(ids), ends(ids), self._grams.mixed(kept), hash(whole.tobytes()))

    def events(self, window: Window, said: Said) -> list[int] | None:
        """The events of a prompt, which the window then holds; None for a repeat."""
        if window.holds(said.digest):
            return None
        cells = self._grams.cells(said.mixed, window.salt)
        prompt = Prompt(said, window.seen, window.join(said.words), cells, self._grams.counts(cells))
        events = self._events(window, prompt)
        self._keep(window, prompt)
        return events

    def forget(self, window: Window) -> None:
        """Take a window's prompts out of the shared table."""
        for tokens, began in window.drain():
            self._remove(window, tokens, began)

    def _events(self, window: Window, prompt: Prompt) -> list[int]:
        """A code for each channel that scores the prompt: its place, and `size` more for a hit."""
        offsets, size = self._channels.offsets, self._channels.size
        said, seen = prompt.said, prompt.seen
        length, pairs = said.length, len(said.ids) - 1
        found: list[tuple[int, int, bool]] = []
        if prompt.joined.place == 1:
            stratum = by_length(length)
            shared, others, ages = window.affixes(said.ends, self.tokens.bits, affixes.MOST)
            spanned = spans.hits(prompt.counts[pairs:], self.tokens.bits, said.ids)
            hits = (*affixes.hits(shared, others, ages), *spanned)
            found = [(i, stratum, hit) for i, hit in enumerate(hits) if seen >= LEAST_SEEN[i]]
        if novelty.scored(length, seen):
            begins = self.tokens.begins[said.ids[1:]]
            found.append((NOVELTY, novelty.stratum(seen), novelty.hit(prompt.counts[:pairs], begins)))
        if brevity.scored(seen):
            stratum = brevity.stratum(seen)
            short, new = self._brevity(window, said)
            found += [(BREVITY, stratum, short), (BREVITY + 1, stratum, new)]
        back_to_head, star = chains.hits(prompt.joined)
        found += [(CHAINS, 0, back_to_head), (CHAINS + 1, by_length(length), star)]
        return [offsets[channel] + stratum + size * hit for channel, stratum, hit in found]

    def _brevity(self, window: Window, said: Said) -> tuple[bool, bool]:
        if said.length > brevity.LENGTH:
            return False, False
        return True, brevity.new(self._grams.counts(self._grams.words(said.ids, window.salt)))

    def _keep(self, window: Window, prompt: Prompt) -> None:
        said, began = prompt.said, prompt.joined.place == 1
        gone = window.add(said.ends, said.ids.tobytes(), said.digest, said.words, prompt.joined)
        counted = len(prompt.cells) if began else len(said.ids) - 1
        self._grams.add(prompt.cells[:counted], prompt.counts[:counted])
        if said.length < FEW:
            words = self._grams.words(said.ids, window.salt)
            self._grams.add(words, self._grams.counts(words))
        if gone is not None:
            self._remove(window, *gone)

    def _remove(self, window: Window, tokens: bytes, began: bool) -> None:
        ids = np.frombuffer(tokens, np.uint16)
        cells = self._grams.cells(self._grams.mixed(ids), window.salt)
        self._grams.remove(cells if began else cells[: len(ids) - 1])
        if len(ids) < FEW:
            self._grams.remove(self._grams.words(ids, window.salt))
