"""Real marked text: a toy sampler over the words of a small tokenizer."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel

from watermark.marker import Marker, Marking
from watermark.scheme import Scheme
from watermark.schemes.gumbel import Vllm

VOCABULARY = 600
CANDIDATES = 12
WEIGHTS = 1.0 / np.arange(1, CANDIDATES + 1)
"""Of the next word: 2.1 nats."""
WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("lo", "na", "ri", "su", "te", "vo", "mi", "ka")]
WORDS += [word + "s" for word in WORDS[: VOCABULARY - len(WORDS)]]


def tokenizer_file(path: Path, words: list[str] = WORDS) -> Path:
    """A tokenizer.json whose tokens are words."""
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(path))
    return path


def sampled(key: np.ndarray, length: int, scheme: Scheme | None = None, *, seed: int = 0, share: float = 0.0) -> str:
    """A text of `length` words, marked under a key [columns] but for a `share` of them."""
    generator = np.random.default_rng(seed)
    marker = Marker(Marking(scheme or Vllm(), share), key, generator)
    found = [1, 2, 3, 4]
    for _ in range(length):
        weights = np.zeros(VOCABULARY)
        weights[generator.choice(VOCABULARY, CANDIDATES, replace=False)] = WEIGHTS
        found.append(marker(weights, found))
    return " ".join(WORDS[token] for token in found[4:])


def unmarked(length: int, *, seed: int = 0) -> str:
    """A text of the same sampler without a mark."""
    return sampled(np.array([1], np.uint64), length, seed=seed, share=1.0)


def pdf(lines: list[str]) -> bytes:
    """A PDF of one page, by hand, with a line of text a row."""
    rows = " ".join(f"({line}) Tj T*" for line in lines)
    stream = f"BT /F1 10 Tf 12 TL 40 780 Td {rows} ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    found, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(found))
        found += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(found)
    return found + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer
