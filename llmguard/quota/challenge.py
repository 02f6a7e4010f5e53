"""Proof of work, as ALTCHA spells it: a client past a soft limit goes on if it spends some time of its own.

A challenge is a salted SHA-256 of a secret number below `maxnumber`, signed; who tries numbers finds it after half of
them on average. It is verified without being stored: the signature says that it is ours, the salt until when and for
which key. That each is used once is the ledger's to see to, under `Solution.id`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import parse_qs

import msgspec

from llmguard.clock import Clock

CHALLENGE = b"x-llmguard-challenge"
LIFETIME_S = 120
MAX_NUMBER = 100_000
"""50,000 hashes on average: 30 ms in C, 50 ms in Python."""
ALGORITHM = "SHA-256"
LONGEST = 2048


class Challenge(msgspec.Struct, frozen=True):
    """What a client is given, as base64 of this JSON."""

    algorithm: str
    challenge: str
    maxnumber: int
    salt: str
    signature: str


class Solved(msgspec.Struct, frozen=True):
    """What it sends back, as base64 of this JSON."""

    algorithm: str
    challenge: str
    number: int
    salt: str
    signature: str


class Challenges:
    """Makes and verifies challenges under `key`; `draw(n)` gives a secret random number below n."""

    def __init__(self, key: bytes, clock: Clock, draw: Callable[[int], int]) -> None:
        self._key = key
        self._clock = clock
        self._draw = draw

    def issue(self, holder: str, difficulty: int = 0) -> str:
        """A fresh challenge for the API key `holder`, of 2^difficulty times the least work."""
        most = MAX_NUMBER << difficulty
        nonce = f"{self._draw(1 << 96):024x}"
        salt = f"{nonce}?expires={int(self._clock.time()) + LIFETIME_S}&for={self._tag(holder)}"
        challenge = _digest(salt, self._draw(most))
        return _packed(Challenge(ALGORITHM, challenge, most, salt, self._sign(challenge)))

    def solution(self, holder: str, given: bytes) -> str | None:
        """The id of the challenge that `given` solves for this holder, now; None where it solves none."""
        try:
            solved = msgspec.json.decode(base64.b64decode(given[:LONGEST], validate=True), type=Solved)
            nonce, _, query = solved.salt.partition("?")
            fields = parse_qs(query, strict_parsing=True)
            expires = int(fields["expires"][0])
            tag = fields["for"][0]
        except (binascii.Error, msgspec.MsgspecError, ValueError, KeyError):
            return None
        right = (
            hmac.compare_digest(solved.signature.encode(), self._sign(solved.challenge).encode())
            & hmac.compare_digest(solved.challenge.encode(), _digest(solved.salt, solved.number).encode())
            & hmac.compare_digest(tag.encode(), self._tag(holder).encode())
        )
        return nonce if right and solved.algorithm == ALGORITHM and self._clock.time() < expires else None

    def _sign(self, challenge: str) -> str:
        return hmac.digest(self._key, challenge.encode(), "sha256").hex()

    def _tag(self, holder: str) -> str:
        return hmac.digest(self._key, b"for\0" + holder.encode(), "sha256").hex()[:16]


def solve(challenge: str) -> str:
    """The answer to a challenge, found by trying; raises ValueError for what is none."""
    given = msgspec.json.decode(base64.b64decode(challenge), type=Challenge)
    begun, sought = hashlib.sha256(given.salt.encode()), given.challenge
    for number in range(given.maxnumber):
        tried = begun.copy()
        tried.update(b"%d" % number)
        if tried.hexdigest() == sought:
            return _packed(Solved(given.algorithm, given.challenge, number, given.salt, given.signature))
    raise ValueError("no number below maxnumber solves this challenge")


def hardness(challenge: str) -> int | None:
    """The numbers among which the answer is; None for what is no challenge."""
    try:
        return msgspec.json.decode(base64.b64decode(challenge), type=Challenge).maxnumber
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        return None


def _digest(salt: str, number: int) -> str:
    return hashlib.sha256(f"{salt}{number}".encode()).hexdigest()


def _packed(value: msgspec.Struct) -> str:
    return base64.b64encode(msgspec.json.encode(value)).decode()
