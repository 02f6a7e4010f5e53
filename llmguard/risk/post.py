"""What travels between guards and workers: sealed entries, and the names under which they lie in Redis.

Tenants are spread over PARTS streams; one worker at a time has a part. An entry tells words by their ids, so it is
encrypted: whoever reads Redis alone reads no prompt.
"""

import os
import zlib
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from llmguard.risk.desk import Holder
from llmguard.risk.report import Alert, Report
from llmguard.risk.sight import Sight
from llmguard.risk.standing import State

PARTS: Final = 16
GROUP: Final = "detectors"
CONSUMER: Final = "worker"
"""One name for all: a part has one worker at a time, and the next goes on with what that one left."""
WINDOW: Final = 20_000
"""Entries that a part's stream keeps: what an index is rebuilt from."""
ALERTS: Final = "llmguard:alerts"
NONCE: Final = 12
REPORT_S: Final = 30 * 86_400
"""For how long a report is kept after the last prompt."""


class Order(msgspec.Struct, frozen=True, array_like=True):
    """What an operator decided: to pardon a key, or to hold it in a state until then (None lets go)."""

    what: Literal["pardon", "pin"]
    at: float
    holder: Holder
    state: State | None = None
    until: float | None = None

    @property
    def key(self) -> str:
        """Whose."""
        return self.holder.key


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One of the two."""

    sight: Sight | None = None
    order: Order | None = None


class Seal:
    """AES-256-GCM under `key` (32 bytes); raises ValueError for what is damaged or of another key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Entry).decode

    def sealed(self, entry: Entry) -> bytes:
        """An entry as it is sent."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, self._encode(entry), None)

    def opened(self, sealed: bytes) -> Entry:
        """An entry as it was."""
        try:
            return self._decode(self._cipher.decrypt(sealed[:NONCE], sealed[NONCE:], None))
        except (InvalidTag, msgspec.MsgspecError, ValueError) as error:
            raise ValueError("this entry is damaged, or of a guard with another secret") from error


def part_of(tenant: str) -> int:
    """The part that a tenant's prompts go to."""
    return zlib.crc32(tenant.encode()) % PARTS


def stream_of(part: int) -> str:
    """The stream of a part."""
    return f"llmguard:prompts:{{{part}}}"


def owner_of(part: int) -> str:
    """What the worker that has a part holds."""
    return f"llmguard:worker:{{{part}}}"


def report_at(scope: str, id: str) -> str:
    """Where a report lies."""
    return f"llmguard:report:{{{scope}:{id}}}"


encoded = msgspec.json.Encoder().encode
report_in = msgspec.json.Decoder(Report).decode
alert_in = msgspec.json.Decoder(Alert).decode
