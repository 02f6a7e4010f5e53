"""One document, looked at: its text as it was read, its tokens, the verdict, and the score's course. Pure."""

from dataclasses import dataclass

import numpy as np

from watermark.detector import LN10, Detector
from watermark.documents.document import Document
from watermark.ngrams import Tokens
from watermark.normalise import Normaliser
from watermark.scheme import Floats
from watermark.tokenizer import Offsets, TextTokenizer
from watermark.verdict import Panel, Verdict, judge


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in one document. `text` is the normalised one, into which `offsets` [tokens, 2] point."""

    name: str
    text: str
    tokens: Tokens
    offsets: Offsets
    verdict: Verdict
    panels: tuple[Panel, ...]

    def course(self) -> tuple[Tokens, Floats]:
        """The places [n] of scored tokens and log10 p [n] of the text up to each, under the verdict's key.

        One look a point, uncorrected: to be seen, not to be judged by.
        """
        for panel in self.panels:
            if self.verdict.key_id in panel.ids:
                at = panel.ids.index(self.verdict.key_id)
                grams, places = Detector(panel.scheme, panel.keys).distinct(self.tokens)
                terms = panel.scheme.terms(panel.keys[at : at + 1], grams)[0]
                counts = np.arange(1.0, terms.size + 1)
                return places.astype(np.int64), panel.scheme.log_tail(counts, np.cumsum(terms)) / LN10
        return np.empty(0, np.int64), np.empty(0)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks at documents under the same keys."""

    tokenizer: TextTokenizer
    normaliser: Normaliser
    panels: tuple[Panel, ...]
    fpr: float
    unlucky: frozenset[str] = frozenset()

    def examine(self, document: Document, generator: np.random.Generator) -> Examination:
        """The verdict on a document; `generator` draws decoy keys."""
        text = "" if document.unreadable else self.normaliser(document.text)
        tokens, offsets = self.tokenizer.tokens(text)
        if document.unreadable:
            verdict = Verdict("cannot_tell", document.unreadable)
        elif not tokens.size:
            verdict = Verdict("cannot_tell", "the tokenizer finds nothing in it")
        else:
            verdict = judge(tokens, self.panels, fpr=self.fpr, generator=generator, unlucky=self.unlucky)
        return Examination(document.name, text, tokens, offsets, verdict, self.panels)
