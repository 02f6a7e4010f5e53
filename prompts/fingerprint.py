"""The inline fingerprint: a static sentence embedding distilled from a sentence encoder, and a sketch of characters.

A sentence's vector is the weighted mean of its tokens' rows, so one costs some microseconds.
Rows are what the encoder says of each token alone, without the directions that all share
(Arora, Liang, Ma, "A simple but tough-to-beat baseline for sentence embeddings", 2017).
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numba import types
from numpy.typing import NDArray

from prompts.compiled import READ_16, compiled
from prompts.tokens import COMMON

VERSION = 1
"""To be raised when the rows are made otherwise."""

DIMENSIONS = 256
FEW_DIMENSIONS = 128
"""Enough among some thousand texts; a fingerprint of so many takes two thirds of the time."""

DIRECTIONS = 1 << 13
"""Of tokens by chance: 2 MiB at most, so that those of a prompt's words are near at hand."""

SKETCH = 64
SHARED = 2
"""Leading directions that the tokens of any text share, and that tell texts apart least."""

SIF = 1e-3
RARE = 12.0
"""Bits beyond which a token weighs no more."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to [texts, width] of the sentence encoder."""

Vector = NDArray[np.float32]
_MAGIC = b"llmguard static embedding\n"
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class StaticEmbedding:
    """rows: [n, dimensions], the i-th for tokens i, i + n, …; scale: [vocabulary], a token's factor with its weight."""

    rows: NDArray[np.int8]
    scale: Vector

    @property
    def dimensions(self) -> int:
        """Of its vectors."""
        return int(self.rows.shape[1])

    def vector(self, ids: Sequence[int] | NDArray[np.uint16]) -> Vector:
        """[dimensions] of L2 norm 1 for a text's token ids; all zeros for none that the vocabulary holds."""
        found: Vector = self.vectors([np.asarray(ids, np.uint16)])[0]
        return found

    def vectors(self, prompts: Sequence[NDArray[np.uint16]]) -> Vector:
        """[n, dimensions] of n texts."""
        found = np.zeros((len(prompts), self.dimensions), np.float32)
        if len(prompts):
            ends = np.cumsum([len(ids) for ids in prompts])
            _weigh(self.rows, self.scale, np.concatenate(prompts), ends, found)
        return found


@dataclass(frozen=True, slots=True)
class Loaded:
    """A static embedding and how it came to be here: `cached`, `built`, or `rebuilt` from a cache that was corrupt."""

    embedding: StaticEmbedding
    how: str


def distil(vocabulary: dict[str, int], encode: Encode) -> StaticEmbedding:
    """The static embedding of a vocabulary of BERT's form, from an encoder of texts.

    Each token is encoded alone; the mean and the SHARED leading principal directions are taken
    off, the next DIMENSIONS kept, and a row is weighted by a/(a + p) for p its frequency by rank.
    """
    size = 1 + max(vocabulary.values())
    words = [(word, index) for word, index in vocabulary.items() if _said(word)]
    places = np.array([index for _, index in words])
    encoded = np.asarray(encode([word.removeprefix("##") for word, _ in words]), np.float64)
    centred = encoded - encoded.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    kept = directions[:, ::-1][:, SHARED : SHARED + DIMENSIONS]
    rows = np.zeros((size, DIMENSIONS))
    rows[places, : kept.shape[1]] = centred @ kept
    frequency = np.zeros(size)
    ranked = np.arange(COMMON, size)
    frequency[ranked] = 1.0 / ((ranked - COMMON + 2) * np.log(max(size, 3)))
    largest = np.maximum(np.abs(rows).max(axis=1), 1e-9)
    whole = np.rint(rows * (127 / largest)[:, None]).astype(np.int8)
    return StaticEmbedding(whole, (largest / 127 * SIF / (SIF + frequency)).astype(np.float32))


def hashed(bits: Vector, dimensions: int = DIMENSIONS) -> StaticEmbedding:
    """The static embedding that needs no encoder: a direction by chance for each token, weighted by what it tells.

    bits: of each token. It tells shared words, in any language, and no meaning: two texts'
    cosine is that of their weighted tokens within 1/√dimensions (Johnson, Lindenstrauss, 1984). One
    word in DIRECTIONS has another's direction.
    """
    rows = np.random.default_rng(VERSION).integers(-127, 128, (DIRECTIONS, dimensions), np.int8)
    return StaticEmbedding(rows, (np.minimum(bits, RARE) / (127 * RARE)).astype(np.float32))


def load_or_distil(path: Path, vocabulary: dict[str, int], encode: Encode) -> Loaded:
    """The static embedding kept in `path`, or a fresh one, which is then kept there.

    A file of another version, another vocabulary or with a wrong checksum is not used but
    replaced. Two processes may do so at once: the file is put in place whole.
    """
    identity = _identity(vocabulary)
    kept = _read(path, identity)
    if kept is not None:
        return Loaded(kept, "cached")
    how = "rebuilt" if path.exists() else "built"
    embedding = distil(vocabulary, encode)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    content = embedding.rows.tobytes() + embedding.scale.tobytes()
    beside.write_bytes(_MAGIC + identity + hashlib.sha256(identity + content).digest() + content)
    beside.replace(path)
    return Loaded(embedding, how)


def sketch(shingles: frozenset[str]) -> NDArray[np.uint32]:
    """[SKETCH] MinHash of a text's shingles; all ones for none.

    P(two sketches agree at a place) is the Jaccard similarity of the shingles (Broder, 1997).
    """
    if not shingles:
        return np.full(SKETCH, 0xFFFFFFFF, np.uint32)
    codes = np.fromiter(
        (crc32(shingle.encode("utf-8", "surrogatepass")) for shingle in shingles), np.uint64, len(shingles)
    )
    # Multiplication wraps at 2^64; one hash is one odd multiplier and the high bits of the product, mixed once more.
    places = np.arange(1, SKETCH + 1, dtype=np.uint64) * np.uint64(_GOLDEN) | np.uint64(1)
    mixed = codes[:, None] * places
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(32)
    found: NDArray[np.uint32] = mixed.min(axis=0).astype(np.uint32)
    return found


def alike(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> float:
    """The share of places at which two sketches agree: an unbiased estimate of the Jaccard similarity.

    Its standard error is √(J(1 - J)/SKETCH), at most 0.0625.
    """
    return float((first == second).mean())


@compiled(
    types.void(
        types.Array(types.int8, 2, "C", readonly=True),
        types.Array(types.float32, 1, "C", readonly=True),
        READ_16,
        types.Array(types.int64, 1, "C"),
        types.Array(types.float32, 2, "C"),
    )
)
def _weigh(
    rows: NDArray[np.int8], scale: Vector, ids: NDArray[np.uint16], ends: NDArray[np.int64], found: Vector
) -> None:
    """Add up the weighed rows of those tokens of each text that have one, and bring the sums to norm 1."""
    start = 0
    for text in range(len(ends)):
        total = found[text]
        for token in ids[start : ends[text]]:
            if token < len(scale):
                weight, row = scale[token], rows[token % len(rows)]
                for place in range(len(total)):
                    total[place] += weight * row[place]
        start = ends[text]
        squares = np.float32(0)
        for value in total:
            squares += value * value
        if squares > 0:
            factor = np.float32(1) / np.sqrt(squares)
            for place in range(len(total)):
                total[place] *= factor


def _said(word: str) -> bool:
    """Whether a vocabulary's entry can stand in a text."""
    return not (word.startswith("[") and word.endswith("]") and len(word) > 2)


def _identity(vocabulary: dict[str, int]) -> bytes:
    digest = hashlib.sha256(f"{VERSION}:{DIMENSIONS}:{SHARED}:{SIF}".encode())
    for word, index in sorted(vocabulary.items()):
        digest.update(f"\0{word}\0{index}".encode())
    return digest.digest() + (1 + max(vocabulary.values())).to_bytes(4, "big")


def _read(path: Path, identity: bytes) -> StaticEmbedding | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + len(identity)
    size = int.from_bytes(identity[-4:], "big")
    body = content[start + 32 :]
    if content[:start] != _MAGIC + identity or len(body) != size * (DIMENSIONS + 4):
        return None
    if hashlib.sha256(identity + body).digest() != content[start : start + 32]:
        return None
    rows = np.frombuffer(body, np.int8, size * DIMENSIONS).reshape(size, DIMENSIONS)
    return StaticEmbedding(rows, np.frombuffer(body, np.float32, size, size * DIMENSIONS))
