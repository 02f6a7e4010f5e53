"""One pass over a text's distinct n-grams, under any number of keys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from watermark.ngrams import Seen, Tokens, first_places, identities, ngrams, whole
from watermark.scheme import Floats, Keys, Scheme
from watermark.statistics.windows import search

Bools: TypeAlias = NDArray[np.bool_]

CELLS = 1 << 16
"""Keys times n-grams scored at once: what fits a core's cache."""
PIECE = 1 << 16
TABLE_BITS = 30
"""A stream's table of seen n-grams takes 128 MiB; of the first 220 million new n-grams it drops one in ten."""
LN10 = float(np.log(10))


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens [start, end) of the text that are marked by themselves, after correction for the search."""

    start: int
    end: int
    log10_p: float


@dataclass(frozen=True, slots=True)
class Detection:
    """What one key finds in one text; `log10_p` pays for the windows that were tried, not for other keys."""

    tokens: int
    scored: int
    score: float
    log10_p: float
    spans: tuple[Span, ...] = ()

    @property
    def p_value(self) -> float:
        """The p-value, which may underflow to 0 where its logarithm does not."""
        return float(10.0**self.log10_p)


@dataclass(frozen=True, slots=True)
class Scores:
    """Sums over a stream: the score of each key [k], over `scored` of `tokens` tokens; log10 p is of the whole."""

    tokens: int
    scored: int
    scores: Floats
    log10_p: Floats


@dataclass(frozen=True, slots=True)
class Detector:
    """Scores texts for a scheme under keys [k, columns]. No score ever counts a keyed value twice."""

    scheme: Scheme
    keys: Keys

    def document(
        self, tokens: Sequence[int] | Tokens, *, prompt: Sequence[int] = (), eligible: Bools | None = None, alpha: float
    ) -> list[Detection]:
        """One text under each key, windows searched, spans reported where significant at `alpha`.

        `prompt` is what came before, where known. `eligible` [tokens] passes over tokens known to
        have been left unmarked, as those a model is sure of; the choice must not depend on a key.
        """
        grams, places = self.distinct(tokens, prompt=prompt, eligible=eligible)
        log_alpha = float(np.log(alpha))
        return [self._detection(terms, places, len(tokens), log_alpha) for terms in self._rows(grams)]

    def distinct(
        self, tokens: Sequence[int] | Tokens, *, prompt: Sequence[int] = (), eligible: Bools | None = None
    ) -> tuple[Tokens, NDArray[np.intp]]:
        """The n-grams [n, width + 1] of a text that count, and the places [n] of their last tokens."""
        width = self.scheme.width
        grams = ngrams(tokens, width, before=prompt if self.scheme.prompted else ())
        keep = np.ones(len(grams), np.bool_) if eligible is None else eligible.copy()
        if width and not (self.scheme.padded or (self.scheme.prompted and len(prompt))):
            keep &= whole(grams)
        places = np.flatnonzero(keep)
        if self.scheme.context_once and width:
            places = places[first_places(identities(grams[places, :-1]))]
        # Contexts may differ and yet be one to the keyed function.
        places = places[first_places(self.scheme.states(grams[places]))]
        return grams[places], places

    def stream(self, documents: Iterable[Sequence[int] | Tokens]) -> Scores:
        """A corpus of any size, in bounded memory: each n-gram counts once in all of it, as by `Seen`.

        A document longer than 65,536 tokens is scored in pieces.
        """
        seen = Seen(TABLE_BITS)
        totals, scored, tokens = np.zeros(len(self.keys)), 0, 0
        for batch in batches(documents):
            tokens += sum(map(len, batch))
            grams = np.concatenate([self.distinct(document)[0] for document in batch])
            fresh = grams[seen.new(self.scheme.states(grams))]
            scored += len(fresh)
            totals += self.totals(fresh)
        return Scores(tokens, scored, totals, self.scheme.log_tail(np.float64(scored) + np.zeros(1), totals) / LN10)

    def totals(self, grams: Tokens) -> Floats:
        """The score [k] of distinct n-grams under each key, in cache-sized blocks."""
        found = np.zeros(len(self.keys))
        width = min(len(grams), CELLS) or 1
        rows = max(1, CELLS // width)
        for start in range(0, len(self.keys), rows):
            for first in range(0, len(grams), width):
                terms = self.scheme.terms(self.keys[start : start + rows], grams[first : first + width])
                found[start : start + rows] += terms.sum(axis=1)
        return found

    def log_p(self, tokens: Sequence[int] | Tokens) -> Floats:
        """log p [k] of a text as a whole under each key: one look, nothing searched."""
        grams, _ = self.distinct(tokens)
        return self.scheme.log_tail(np.full(len(self.keys), float(len(grams))), self.totals(grams))

    def _rows(self, grams: Tokens) -> Iterable[Floats]:
        for start in range(len(self.keys)):
            yield self.scheme.terms(self.keys[start : start + 1], grams)[0]

    def _detection(self, terms: Floats, places: NDArray[np.intp], tokens: int, log_alpha: float) -> Detection:
        found = search(terms, self.scheme.log_tail, log_alpha)
        spans = tuple(
            Span(int(places[window.start]), int(places[window.end - 1]) + 1, window.log_p / LN10)
            for window in found.windows
        )
        return Detection(tokens, terms.size, float(terms.sum()), found.log_p / LN10, spans)


def batches(documents: Iterable[Sequence[int] | Tokens]) -> Iterable[list[Tokens]]:
    """Documents joined to batches of about `PIECE` tokens, and long ones cut, so that small ones cost no more."""
    batch: list[Tokens] = []
    size = 0
    for document in documents:
        tokens = np.asarray(document, np.int64)
        for start in range(0, len(tokens), PIECE):
            batch.append(tokens[start : start + PIECE])
            size += batch[-1].size
            if size >= PIECE:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
