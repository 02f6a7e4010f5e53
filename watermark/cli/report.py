"""Verdicts on standard output: lines of JSON for programs, a table for people."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from watermark.examination import Examination
from watermark.verdict import Answer

MOST_ROWS = 1000
"""Of marked documents, and of others: a table is kept until it is complete."""
PIPE_WIDTH = 200
"""Columns of a table that no terminal bounds: every field on one line."""
WORDS: Mapping[Answer, tuple[str, str]] = {
    "marked": ("marked", "bold green"),
    "not_marked": ("not marked", "yellow"),
    "cannot_tell": ("cannot tell", "dim"),
}


class Report(Protocol):
    """Takes examinations one by one; what stays of it is complete where its context ends without an error."""

    def __enter__(self) -> "Report":
        """The report, begun."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete it, or undo it."""

    def add(self, examination: Examination) -> None:
        """One more document."""


def as_object(examination: Examination) -> dict[str, object]:
    """What `--json` says of a document. Spans are in tokens of the normalised text."""
    verdict = examination.verdict
    return {
        "document": examination.name,
        "verdict": verdict.answer,
        "reason": verdict.reason,
        "scheme": verdict.scheme,
        "key_id": verdict.key_id,
        "tokens": verdict.tokens,
        "scored": verdict.scored,
        "score": verdict.score,
        "p_value": verdict.p_value,
        "log10_p": verdict.log10_p,
        "spans": [{"start": span.start, "end": span.end, "log10_p": span.log10_p} for span in verdict.spans],
        "tested_keys": verdict.keys,
        "runner_up_log10_p": verdict.runner_up_log10_p,
        "decoys": verdict.decoys,
        "decoy_rank_p": verdict.decoy_rank_p,
    }


class JsonReport:
    """A line of JSON for each document, as soon as it is known."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.flush()

    def add(self, examination: Examination) -> None:
        """Write its line."""
        print(json.dumps(as_object(examination), allow_nan=False), file=self._out)


class TableReport:
    """A table, and under it what the verdicts mean. Of very many documents it has the first, and the first marked."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, width=None if out.isatty() else PIPE_WIDTH)
        self._table = Table("document", "verdict", "key", "tokens", "scored", "p", "why")
        self._found: Counter[Answer] = Counter()

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._console.print(self._table)
            if self._left_out():
                counts = ", ".join(f"{count:,} {WORDS[answer][0]}" for answer, count in self._found.items())
                self._console.print(f"Not all are shown: {counts}. --json says a line of each.")
            self._console.print(
                Text("A mark that is found tells whose key the text was issued under, not who used it. ")
                + Text("One that is not found proves nothing: a paraphrase has none.")
            )

    def add(self, examination: Examination) -> None:
        """Its row."""
        verdict = examination.verdict
        self._found[verdict.answer] += 1
        if self._shown(verdict.answer) > MOST_ROWS:
            return
        word, style = WORDS[verdict.answer]
        key = verdict.key_id if verdict.answer == "marked" else None
        cells = (key or "", str(verdict.tokens), str(verdict.scored), power_of_ten(verdict.log10_p), verdict.reason)
        # Text: a file's name is not markup.
        self._table.add_row(Text(printable(examination.name)), Text(word, style), *map(Text, cells))

    def _shown(self, answer: Answer) -> int:
        """How many there are of a verdict's kind: marked, or any other."""
        marked = self._found["marked"]
        return marked if answer == "marked" else self._found.total() - marked

    def _left_out(self) -> bool:
        return max(self._shown("marked"), self._shown("not_marked")) > MOST_ROWS


def power_of_ten(log10_p: float | None) -> str:
    """A probability as people write it, however small."""
    if log10_p is None:
        return ""
    if log10_p > -3:
        return f"{10.0**log10_p:.3g}"
    whole = math.floor(log10_p)
    return f"{10.0 ** (log10_p - whole):.1f}e{whole}"


def printable(name: str) -> str:
    """A name without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
