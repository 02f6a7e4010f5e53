"""A prompt against a window, as events for the evidence: what is compared, and in which channels it hits.

1. Repeats  a prompt that is in the window already is a retry or a regeneration: not scored.
2. Compare  with the window: chain, kin, affixes, pairs and runs.
3. Events   a code for each channel that scores it, from what the window held before.
4. Keep     the prompt; the oldest goes.
"""

from array import array
from typing import NamedTuple

import numpy as np

from prompts.evidence import Channels
from prompts.grams import Hashes, Ids
from prompts.normalise import fold, shortened, without_courtesy
from prompts.prompt import STRATA, Said, by_length, said
from prompts.signals import affixes, brevity, chains, novelty, spans
from prompts.tokens import Tokens
from prompts.window import Chain, Joined, Window

LEAST_SEEN = tuple(chains + lag for _, chains, lag in affixes.TESTS) + tuple(chains for _, chains in spans.TESTS)
"""Prompts after which each of these tests has a chance to hit."""

# The places of the other channels in `calibration.channels()`.
NOVELTY = len(LEAST_SEEN)
BREVITY = NOVELTY + 1
CHAINS = BREVITY + 2
SHARED = CHAINS + 3
"""Scored where there is a cluster: see `parts`."""

FEW = 24
"""Tokens of a prompt below which its single tokens are remembered."""


def ids_of(text: str, tokens: Tokens) -> Ids:
    """The ids of what a user said, as it is compared: folded, without courtesies, shortened where it is long."""
    return tokens.ids(without_courtesy(fold(shortened(text))))


class Taken(NamedTuple):
    """What a window said of a prompt that it then took: its events, and where it stands among the last ones."""

    events: list[int]
    joined: Joined


class Scorer:
    """Reads prompts and scores them against windows."""

    def __init__(self, tokens: Tokens, channels: Channels) -> None:
        self.tokens = tokens
        self.hashes = Hashes(tokens.size)
        self._offsets, self._size = channels.offsets, channels.size
        # The codes of a miss in the channels that go by length.
        self._missed = [[offset + stratum for offset in channels.offsets[:NOVELTY]] for stratum in range(STRATA)]

    def read(self, text: str) -> Said | None:
        """What a user said, as it is compared; None for a text of nothing."""
        return self.said(ids_of(text, self.tokens))

    def said(self, ids: "Ids | array[int]") -> Said | None:
        """The same of a text's ids, as `ids_of` gives them; None for none."""
        return said(np.asarray(ids, np.uint16), self.hashes) if len(ids) else None

    def take(self, window: Window, said: Said) -> Taken | None:
        """The events of a prompt, which the window then holds; None for a repeat."""
        if window.holds(said.digest):
            return None
        joined = window.join(said)
        taken = Taken(self._events(window, said, joined), joined)
        self._keep(window, said, joined)
        return taken

    def pool(self, window: Window, said: Said, own: Taken, chain: Chain | None, mine: int) -> Taken | None:
        """The same for a window of several principals, where `own` is what the prompt's own window said of it.

        An edit of an edit of its principal's is judged as it is there, whoever spoke in between: that it goes on with
        a text is hidden here by others' prompts, unless they go on with the text as well. Here it is one with the
        text, in `chain`, where that is known, which holds so many of the principal's own.
        """
        if window.holds(said.digest):
            return None
        joined = window.join(said)
        others = joined.place > 1 and (joined.chain is not chain or chain.members > mine)
        if own.joined.place < chains.LEAST or others:
            events = self._events(window, said, joined)
        else:
            events, joined = own.events, joined if chain is None else window.follow(said, chain)
        self._keep(window, said, joined)
        return Taken(events, joined)

    def absorb(self, window: Window, other: Window, count: int) -> None:
        """Put the last prompts of another window into this one, but for the very last, and score nothing."""
        for ids in other.latest(count + 1)[:-1]:
            past = said(ids, self.hashes)
            if not window.holds(past.digest):
                self._keep(window, past, window.join(past))

    def _keep(self, window: Window, said: Said, joined: Joined) -> None:
        window.add(said, joined)
        window.grams.put(said.pairs, said.runs if joined.place == 1 else None)
        if said.length < FEW:
            window.grams.mark(self.hashes.words(said.ids))

    def _events(self, window: Window, said: Said, joined: Joined) -> list[int]:
        """A code for each channel that scores the prompt: its place, and `size` more for a hit."""
        offsets, size = self._offsets, self._size
        seen, length = window.seen, said.length
        stratum = by_length(length)
        found: list[int] = []
        if joined.place == 1:
            bits = self.tokens.bits
            spanned = spans.hits(window.grams.counts(said.runs), bits, said.ids)
            hits = (*affixes.hits(*window.affixes(said, bits, affixes.LEAST, affixes.MOST)), *spanned)
            missed = zip(self._missed[stratum], LEAST_SEEN, hits, strict=True)
            found = [code + size * hit for code, least, hit in missed if seen >= least]
        if novelty.scored(length, seen):
            told = novelty.told(said.pairs, said.ids, self.tokens.begins)
            hit = bool(len(told)) and not window.grams.any_known(told)
            found.append(offsets[NOVELTY] + novelty.stratum(seen) + size * hit)
        if brevity.scored(seen):
            short, new = self._brevity(window, said)
            recent = brevity.stratum(seen)
            found += [offsets[BREVITY] + recent + size * short, offsets[BREVITY + 1] + recent + size * new]
        found.append(offsets[CHAINS] + size * chains.back_to_head(joined))
        found.append(offsets[CHAINS + 1] + stratum + size * chains.star(joined))
        if chains.has_kin(joined):
            found.append(offsets[CHAINS + 2] + stratum + size * chains.scattered(joined))
        return found

    def _brevity(self, window: Window, said: Said) -> tuple[bool, bool]:
        if said.length > brevity.LENGTH:
            return False, False
        return True, not window.grams.any_known(self.hashes.words(said.ids))
