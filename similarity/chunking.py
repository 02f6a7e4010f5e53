"""A text as overlapping pieces of so many tokens."""

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from similarity.library.records import Invalid, Strategy

LEAST_TOKENS, MOST_TOKENS = 100, 4096
WORD = re.compile(r"\w{1,16}|[^\w\s]")

Tokenise: TypeAlias = Callable[[str], Sequence[tuple[int, int]]]
"""A text's tokens as spans of characters, rising."""


def words(text: str) -> list[tuple[int, int]]:
    """Words (long ones in parts) and marks: about the tokens of a trained tokeniser, needing none."""
    return [match.span() for match in WORD.finditer(text)]


def strategy(chunk_tokens: int, overlap_tokens: int) -> Strategy:
    """A client's own strategy; raises Invalid past OpenAI's bounds: 100 to 4096 tokens, half overlapping."""
    if not LEAST_TOKENS <= chunk_tokens <= MOST_TOKENS:
        raise Invalid("max_chunk_size_tokens", f"{LEAST_TOKENS} to {MOST_TOKENS}")
    if not 0 <= overlap_tokens <= chunk_tokens // 2:
        raise Invalid("chunk_overlap_tokens", "0 to half of max_chunk_size_tokens")
    return Strategy(chunk_tokens, overlap_tokens, automatic=False)


def chunks(text: str, cut: Strategy, tokenise: Tokenise) -> list[str]:
    """Pieces of at most `chunk_tokens` tokens, each beginning `overlap_tokens` before the last one's end.

    Every token is in a piece; no piece lies wholly in another; a text without tokens has none.
    """
    spans = tokenise(text)
    step = cut.chunk_tokens - cut.overlap_tokens
    starts = range(0, max(len(spans) - cut.overlap_tokens, min(1, len(spans))), step)
    return [text[spans[start][0] : spans[min(start + cut.chunk_tokens, len(spans)) - 1][1]] for start in starts]
