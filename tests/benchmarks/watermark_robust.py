"""What is left of a mark when its text is changed: shares found, with intervals, and the median p."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from scipy import stats

from tests.benchmarks.report import Report, Row
from watermark.detector import Detector
from watermark.documents.formats import html, markdown
from watermark.ngrams import Tokens
from watermark.normalise import Normaliser
from watermark.tokenizer import TextTokenizer

ALPHA = 1e-6
SHARES = (0.1, 0.2, 0.4)
LOOK_ALIKES = str.maketrans("aceopxyi", "асеорхуі")  # noqa: RUF001  the attack
Attack = Callable[[Tokens, np.random.Generator], str]
"""A marked text's tokens -> the text as somebody changed it."""


def curves(
    marked: Sequence[Tokens], unmarked: Sequence[Tokens], tokenizer: TextTokenizer, detector: Detector
) -> Report:
    """Every attack on every text, which is then normalised and tokenized as the command does.

    `unmarked` are passages three times as long as the marked texts, into which these are put.
    """
    normaliser, generator = Normaliser(), np.random.default_rng(9)
    rows: list[Row] = []
    for name, attack in attacks(tokenizer, unmarked).items():
        p = [
            detector.document(tokenizer.tokens(normaliser(attack(text, generator)))[0], alpha=ALPHA)[0].log10_p
            for text in marked
        ]
        rows.append(_row(name, np.array(p)))
    return Report("watermark: what is left of a mark, with 95 % intervals", rows)


def attacks(tokenizer: TextTokenizer, unmarked: Sequence[Tokens]) -> Mapping[str, Attack]:
    """The attacks by name."""
    vocabulary = np.unique(np.concatenate(unmarked))

    def written(tokens: Tokens) -> str:
        return str(tokenizer.tokenizer.decode(tokens.tolist(), skip_special_tokens=False))

    def on_text(change: Callable[[str], str]) -> Attack:
        return lambda tokens, _: change(written(tokens))

    def inside(tokens: Tokens, generator: np.random.Generator) -> str:
        around = unmarked[int(generator.integers(len(unmarked)))][: 3 * tokens.size]
        place = int(generator.integers(around.size))
        return " ".join([written(around[:place]), written(tokens), written(around[place:])])

    found: dict[str, Attack] = {"unchanged": on_text(str)}
    for share in SHARES:
        for name, change in (("substituted", _substituted), ("deleted", _deleted), ("inserted", _inserted)):
            found[f"{share:.0%} of the tokens {name}"] = lambda tokens, generator, share=share, change=change: written(
                change(tokens, share, vocabulary, generator)
            )
    for part in (0.25, 0.5, 0.75):
        found[f"cut to {part:.0%}"] = lambda tokens, _, part=part: written(tokens[: int(tokens.size * part)])
    return found | {
        "a quarter of a text by people": inside,
        "lower case": on_text(str.lower),
        "every space two": on_text(lambda text: text.replace(" ", "  ")),
        "lines broken at 60 characters": on_text(lambda text: re.sub(r"(.{1,60}) ", r"\1\n", text)),
        "through Markdown": on_text(lambda text: markdown(_as_markdown(text).encode())),
        "through HTML": on_text(lambda text: html(_as_html(text).encode())),
        "zero-width characters": on_text(lambda text: text.replace("e", "e\u200b")),
        "look-alike letters": on_text(lambda text: text.translate(LOOK_ALIKES)),
    }


def _substituted(tokens: Tokens, share: float, vocabulary: Tokens, generator: np.random.Generator) -> Tokens:
    found = tokens.copy()
    hit = generator.random(tokens.size) < share
    found[hit] = generator.choice(vocabulary, int(hit.sum()))
    return found


def _deleted(tokens: Tokens, share: float, vocabulary: Tokens, generator: np.random.Generator) -> Tokens:
    return tokens[generator.random(tokens.size) >= share]


def _inserted(tokens: Tokens, share: float, vocabulary: Tokens, generator: np.random.Generator) -> Tokens:
    places = np.flatnonzero(generator.random(tokens.size) < share)
    return np.insert(tokens, places, generator.choice(vocabulary, places.size))


def _as_markdown(text: str) -> str:
    """A paragraph a line, a word in five emphasised."""
    words = [f"**{word}**" if at % 5 == 2 and word.isalpha() else word for at, word in enumerate(text.split(" "))]
    return "# Title\n\n" + " ".join(words)


def _as_html(text: str) -> str:
    paragraphs = (f"<p>{escape(part)}</p>" for part in text.split("\n\n"))
    return "<html><head><title>x</title></head><body>" + "\n".join(paragraphs) + "</body></html>"


def _row(name: str, p: np.ndarray) -> Row:
    hits = int((p <= np.log10(ALPHA)).sum())
    interval = stats.binomtest(hits, p.size).proportion_ci(0.95, method="exact")
    return {
        "target": name,
        "texts": p.size,
        "share_1e-6": hits / p.size,
        "low": float(interval.low),
        "high": float(interval.high),
        "median_log10_p": float(np.median(p)),
    }
