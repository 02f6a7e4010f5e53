"""Issuing, rotating and revoking keys in the store: what the command line and the admin API share."""

from collections.abc import Callable
from secrets import token_bytes

from llmguard import keys
from llmguard.clock import Clock
from llmguard.store.store import KeyRecord, Store

DEFAULT_OVERLAP_S = 86_400.0


class Issuer:
    """Makes keys and ends them. `random` gives so many random bytes."""

    def __init__(
        self, store: Store, pepper: bytes, clock: Clock, *, random: Callable[[int], bytes] = token_bytes
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._random = random

    async def issue(self, user: str, tenant: str, policy: str, expires_in_s: float | None) -> tuple[KeyRecord, str]:
        """A new key and its secret, once it is stored."""
        now = self._clock.time()
        expires_at = None if expires_in_s is None else now + expires_in_s
        record, secret = keys.issue(
            user, tenant, policy, pepper=self._pepper, now=now, expires_at=expires_at, random=self._random
        )
        await self._store.put_key(record)
        return record, secret

    async def rotate(self, id: str, overlap_s: float) -> tuple[KeyRecord, str] | None:
        """The key with a new secret, and that; None for an unknown id. Raises `keys.KeyEnded`."""
        secret, now = keys.new_secret(self._random), self._clock.time()
        record = await self._store.update_key(
            id, lambda old: keys.rotate(old, secret, pepper=self._pepper, now=now, overlap_s=overlap_s)
        )
        return None if record is None else (record, secret)

    async def revoke(self, id: str) -> KeyRecord | None:
        """The key without force; None for an unknown id."""
        now = self._clock.time()
        return await self._store.update_key(id, lambda old: keys.revoke(old, now))
