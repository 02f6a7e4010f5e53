"""What the guard keeps, and what every store can do with it.

StoreUnavailable   the store failed or was too slow; whether a write happened is not known
KeyConflict        the id or the secret of a new key is taken
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from llmguard.store.ledger import Ledger
from llmguard.store.phrases import PhraseIndex

LOOKUP_BYTES = 16
RETENTION_S = 30 * 86_400.0


class StoreUnavailable(Exception):
    """The store cannot be reached, failed, or did not answer in time; chained to the cause."""


class KeyConflict(Exception):
    """Another key has this id or this secret."""


class KeySecret(msgspec.Struct, frozen=True):
    """One secret of a key: its keyed hash (32 bytes) and the epoch second from which it is void."""

    digest: bytes
    expires_at: float | None = None

    @property
    def lookup(self) -> str:
        """What a store finds the key by: half of the digest, so that the other half stays to be compared."""
        return lookup(self.digest)


class KeyRecord(msgspec.Struct, frozen=True):
    """A key as it is stored: whose it is and the hashes of its secrets. Times are epoch seconds."""

    id: str
    user: str
    tenant: str
    policy: str
    created_at: float
    secrets: tuple[KeySecret, ...]
    expires_at: float | None = None
    revoked_at: float | None = None

    @property
    def gone_at(self) -> float | None:
        """When a store forgets the key: `RETENTION_S` after its end, so that a list still shows how it ended."""
        ends = [end for end in (self.expires_at, self.revoked_at) if end is not None]
        return min(ends) + RETENTION_S if ends else None


class Store(Protocol):
    """The one home of state.

    Every method raises `StoreUnavailable` where the store fails or takes longer than
    it may. A key that is gone (`KeyRecord.gone_at`) is as one that never was.
    """

    @property
    def ledger(self) -> Ledger:
        """What quotas keep here; closed with the store."""
        ...

    @property
    def phrases(self) -> PhraseIndex:
        """What is remembered of answers."""
        ...

    async def put_key(self, record: KeyRecord) -> None:
        """Add a key. Raises `KeyConflict`; never overwrites, so never undoes a revocation."""
        ...

    async def find_key(self, lookup: str) -> KeyRecord | None:
        """The key that has a secret with this lookup, be it valid or not."""
        ...

    async def get_key(self, id: str) -> KeyRecord | None:
        """The key with this id."""
        ...

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, the oldest first."""
        ...

    async def update_key(self, id: str, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        """Replace a key by `change` of it, atomically; the new record, or None for an unknown id.

        No concurrent update is lost: `change` always sees the record that it replaces, and
        so may run more than once, and in another thread. It must be pure and keep the id.
        What it raises is passed on, and nothing is changed.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can be used now."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...


def lookup(digest: bytes) -> str:
    """The first 16 bytes of a digest in hex."""
    return digest[:LOOKUP_BYTES].hex()


def present(record: KeyRecord, now: float) -> KeyRecord | None:
    """The record, or None once it is gone."""
    gone_at = record.gone_at
    return record if gone_at is None or now < gone_at else None


def by_age(record: KeyRecord) -> tuple[float, str]:
    """The order of `list_keys`."""
    return record.created_at, record.id
