"""The report in one HTML file that fetches nothing: verdicts, texts with their marked spans, the score's course."""

import os
from html import escape
from pathlib import Path
from string import Template
from tempfile import NamedTemporaryFile
from types import TracebackType

import numpy as np

from watermark.cli.report import WORDS, power_of_ten
from watermark.examination import Examination
from watermark.ngrams import Tokens
from watermark.scheme import Floats

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Watermark report</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; }
article { border-top: 1px solid #ccc; padding: 1rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f6; padding: 1rem; }
mark { background: #ffd84d; }
dt { float: left; clear: left; width: 9rem; color: #555; }
.marked { color: #087f23; } .not_marked { color: #8a5a00; } .cannot_tell { color: #555; }
polyline { fill: none; stroke: #1f5fbf; stroke-width: 2; } line { stroke: #c0392b; stroke-dasharray: 6 4; }
svg text { font-size: 12px; fill: #555; }
</style>
</head>
<body>
<h1>Watermark report</h1>
<p>A mark that is found tells whose key a text was issued under, not who used it. One that is not found
proves nothing: a paraphrase has none. Texts are shown as they were tested: look-alike and invisible
characters undone.</p>
"""
FOOT = "</body>\n</html>\n"
ARTICLE = Template("""<article>
<h2>$name: <span class="$answer">$word</span></h2>
<p>$reason.</p>
<dl>$facts</dl>
$plot<pre>$text</pre>
</article>
""")
PLOT = Template("""<svg viewBox="0 0 640 190" role="img" aria-label="evidence by token">
<text x="0" y="12">-log10 p of the text up to a token (dashed: what the false-positive rate asks for)</text>
<line x1="0" x2="640" y1="$limit" y2="$limit"/>
<polyline points="$points"/>
<text x="0" y="188">token 0</text><text x="640" y="188" text-anchor="end">token $last, $top</text>
</svg>
""")
WIDTH, TOP, BOTTOM = 640, 20, 170
POINTS = 400


class ReportError(Exception):
    """The report cannot be written; the message says why."""


class HtmlReport:
    """Written beside its place and put there when it is complete: there is never half a report."""

    def __init__(self, path: Path, fpr: float) -> None:
        self._path = path
        self._fpr = fpr

    def __enter__(self) -> "HtmlReport":
        try:
            # Not in a with: it lives as long as the report, which is one itself.
            self._file = NamedTemporaryFile(
                "w", encoding="utf-8", errors="replace", dir=self._path.parent, prefix=".report-", delete=False
            )
        except OSError as error:
            raise ReportError(f"{self._path} cannot be written: {error.strerror}") from error
        self._file.write(HEAD)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fresh = Path(self._file.name)
        try:
            if kind is None:
                self._file.write(FOOT)
            self._file.close()
            if kind is None:
                os.replace(fresh, self._path)
        except OSError as failure:
            raise ReportError(f"{self._path} cannot be written: {failure.strerror}") from failure
        finally:
            fresh.unlink(missing_ok=True)

    def add(self, examination: Examination) -> None:
        """One more document."""
        try:
            self._file.write(article(examination, self._fpr))
        except OSError as error:
            raise ReportError(f"{self._path} cannot be written: {error.strerror}") from error


def article(examination: Examination, fpr: float) -> str:
    """A document's part of the report; nothing of the document is taken for markup."""
    verdict = examination.verdict
    facts = {
        "scheme": verdict.scheme,
        "key": verdict.key_id if verdict.answer == "marked" else None,
        "keys tested": verdict.keys,
        "tokens": verdict.tokens,
        "scored": verdict.scored,
        "p": power_of_ten(verdict.log10_p),
        "rank among decoys": verdict.decoy_rank_p,
    }
    places, course = examination.course()
    return ARTICLE.substitute(
        name=escape(examination.name),
        answer=verdict.answer,
        word=WORDS[verdict.answer][0],
        reason=escape(verdict.reason),
        facts="".join(f"<dt>{name}</dt><dd>{escape(str(fact))}</dd>" for name, fact in facts.items() if fact),
        plot=plot(places, course, fpr) if course.size else "",
        text=coloured(examination),
    )


def coloured(examination: Examination) -> str:
    """The text with its spans marked, each with its own p."""
    text, offsets = examination.text, examination.offsets
    parts, at = [], 0
    for span in examination.verdict.spans:
        start, end = int(offsets[span.start, 0]), int(offsets[span.end - 1, 1])
        parts.append(escape(text[at:start]))
        parts.append(f'<mark title="p {power_of_ten(span.log10_p)}">{escape(text[start:end])}</mark>')
        at = end
    return "".join(parts) + escape(text[at:])


def plot(places: Tokens, course: Floats, fpr: float) -> str:
    """The course of -log10 p [n] over the tokens at `places` [n], as SVG."""
    chosen = np.unique(np.linspace(0, course.size - 1, POINTS).astype(np.int64))
    limit = -float(np.log10(fpr))
    highest = max(float(-course.min()), limit) * 1.05
    last = max(int(places[-1]), 1)
    points = [
        f"{WIDTH * place / last:.1f},{_height(-log10_p, highest):.1f}"
        for place, log10_p in zip(places[chosen].tolist(), course[chosen].tolist(), strict=True)
    ]
    return PLOT.substitute(
        limit=f"{_height(limit, highest):.1f}", points=" ".join(points), last=last, top=f"highest {-course.min():.1f}"
    )


def _height(value: float, highest: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * value / highest
