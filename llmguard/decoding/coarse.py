"""Log-probabilities as far as a reader needs them: noisy, in five steps."""

import hashlib
import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass
from math import cos, log, pi, sqrt
from typing import Final

EDGES: Final = tuple(log(p) for p in (0.01, 0.1, 0.5, 0.9))
STEPS: Final = (-6.0, -3.5, -1.5, -0.4, -0.05)
"""What is told of a probability below 1 %, 10 %, 50 %, 90 %, and above."""
UNSAID: Final = re.compile(r"\\.|[\W_]+")
"""What is no letter and no digit of a JSON text, its escapes included."""
NOISE: Final = sqrt(0.5)
"""The standard deviation of each of the two layers of noise, in nats; together 1."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What stands for a prompt in the noise: digests of it as it is, and of its letters and digits alone."""

    exact: bytes
    plain: bytes


def prompt_of(text: str) -> Prompt:
    """The digests of a prompt, given as JSON. Case, spaces and punctuation do not change `plain`."""
    plain = UNSAID.sub("", unicodedata.normalize("NFKC", text).casefold())
    return Prompt(_digest(text), _digest(plain))


def coarse(logprob: float, key: bytes, prompt: Prompt, token: str) -> float:
    """One of STEPS, for the log-probability (nats) with noise N(0, 1) added.

    The noise depends on nothing but the key, the prompt and the token: one half on the prompt as it is, the other on
    its letters and digits. So asking again averages nothing away, and asking with other spaces no more than half. It
    is the same for all principals: together they learn no more than one.
    """
    noise = NOISE * (_normal(key, prompt.exact, token) + _normal(key, prompt.plain, token))
    return STEPS[bisect_left(EDGES, logprob + noise)]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def rank(key: bytes, prompt: Prompt, token: str) -> int:
    """Where a token stands among those of one step: by chance, not by what the model thinks of it."""
    return int.from_bytes(_bytes(key, b"rank" + prompt.exact, token)[:8], "big")


def _normal(key: bytes, prompt: bytes, token: str) -> float:
    """A standard normal number (Box and Muller 1958)."""
    drawn = _bytes(key, prompt, token)
    first, second = int.from_bytes(drawn[:8], "big"), int.from_bytes(drawn[8:], "big")
    return sqrt(-2 * log((first + 1) / 2**64)) * cos(2 * pi * second / 2**64)


def _bytes(key: bytes, prompt: bytes, token: str) -> bytes:
    text = token.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(len(prompt).to_bytes(2, "big") + prompt + text, key=key, digest_size=16).digest()
