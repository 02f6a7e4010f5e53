"""Whether texts carry the mark of a tenant of ours. It brings in numpy and a tokenizer: loaded by the first look."""

from collections.abc import Sequence

import numpy as np

from watermark.cli.report import as_object
from watermark.documents.document import Document
from watermark.examination import Examiner
from watermark.normalise import Normaliser
from watermark.schemes.named import named
from watermark.selection.verdict import SCHEME, together
from watermark.tokenizer import TextTokenizer, load
from watermark.verdict import Panel

Key = tuple[str, int, int, str]
"""The format, the width of its context, a key's word and its id."""


def detected(
    documents: Sequence[Document], keys: Sequence[Key], tokenizer: str | None, vocabulary: int | None, fpr: float
) -> list[dict[str, object]]:
    """What the command line's `--json` says of each document; of picked text, of all of them together.

    Raises TokenizerError for a tokenizer that cannot be read or that is needed and not there.
    """
    found: list[dict[str, object]] = []
    chosen = [key for key in keys if key[0] == SCHEME]
    if chosen:
        words = np.array([word for _, _, word, _ in chosen], np.uint64)
        normaliser = Normaliser()
        texts = (normaliser(document.text) for document in documents)
        found.append(as_object(together(texts, words, tuple(id for *_, id in chosen), fpr)))
    others = [key for key in keys if key[0] != SCHEME]
    if others:
        loaded = load(tokenizer or "")
        examiner = Examiner(loaded, Normaliser(), _panels(others, loaded, vocabulary), fpr)
        found += [as_object(examiner.examine(document, np.random.default_rng(0))) for document in documents]
    return found


def _panels(keys: Sequence[Key], tokenizer: TextTokenizer, vocabulary: int | None) -> tuple[Panel, ...]:
    groups: dict[tuple[str, int], list[Key]] = {}
    for key in keys:
        groups.setdefault(key[:2], []).append(key)
    return tuple(
        Panel(
            named(name, width=width or None, vocabulary=vocabulary or tokenizer.vocabulary),
            np.array([[word] for _, _, word, _ in group], np.uint64),
            tuple(id for *_, id in group),
        )
        for (name, width), group in groups.items()
    )
