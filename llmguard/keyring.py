"""From a presented key to the record that it belongs to, in a time that tells nothing."""

from collections import OrderedDict
from collections.abc import Sequence

from llmguard import keys
from llmguard.clock import Clock
from llmguard.settings import ConfiguredKey
from llmguard.store.store import KeyRecord, KeySecret, Store, lookup

MAX_PRESENTED_BYTES = 512
MAX_CACHED = 100_000
NOBODY = KeyRecord("", "", "", "", 0.0, (KeySecret(keys.NO_DIGEST, 0.0),))


class Keyring:
    """The keys of the settings and of the store, by one path.

    Missing, unknown, revoked and expired keys cost the same steps: one digest, one
    question to the store, `keys.MAX_SECRETS` comparisons. Only valid ones are
    remembered, for `ttl_s`, which is how late a revocation made elsewhere takes effect.
    """

    def __init__(
        self, configured: Sequence[ConfiguredKey], store: Store, pepper: bytes, clock: Clock, ttl_s: float = 1.0
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._ttl_s = ttl_s
        self._configured = _configured(configured, pepper)
        self._cache: OrderedDict[bytes, tuple[float, KeyRecord]] = OrderedDict()
        self._forgotten = 0

    async def find(self, presented: bytes | str | None) -> KeyRecord | None:
        """The record of a key in force, None for any other. Raises `StoreUnavailable`."""
        if presented is None:
            presented = b""
        elif isinstance(presented, str):
            presented = presented.encode("utf-8", "surrogatepass")
        if len(presented) > MAX_PRESENTED_BYTES:
            return None
        digest = keys.digest(self._pepper, presented)
        cached = self._cache.get(digest)
        if cached is not None and self._clock.monotonic() < cached[0]:
            self._cache.move_to_end(digest)
            return cached[1]
        return await self._ask(digest)

    async def record(self, id: str) -> KeyRecord | None:
        """The key with this id, be it valid or not. Raises `StoreUnavailable`."""
        found = next((record for record in self._configured.values() if record.id == id), None)
        return found or await self._store.get_key(id)

    async def records(self) -> list[KeyRecord]:
        """Every key, valid or not. Raises `StoreUnavailable`."""
        return [*self._configured.values(), *await self._store.list_keys()]

    def forget(self, id: str) -> None:
        """Drop what is remembered of a key, now."""
        # An answer of the store that is still under way is then too old to be remembered.
        self._forgotten += 1
        for digest in [digest for digest, (_, record) in self._cache.items() if record.id == id]:
            del self._cache[digest]

    async def _ask(self, digest: bytes) -> KeyRecord | None:
        forgotten, asked_at = self._forgotten, self._clock.monotonic()
        name = lookup(digest)
        record = self._configured.get(name) or await self._store.find_key(name)
        now = self._clock.time()
        if not keys.valid(record or NOBODY, digest, now) or record is None:
            return None
        if forgotten == self._forgotten:
            self._remember(digest, record, asked_at, now)
        return record

    def _remember(self, digest: bytes, record: KeyRecord, asked_at: float, now: float) -> None:
        end = keys.ends_at(record, digest)
        lasts = self._ttl_s if end is None else min(self._ttl_s, end - now)
        self._cache[digest] = (asked_at + lasts, record)
        self._cache.move_to_end(digest)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)


def _configured(configured: Sequence[ConfiguredKey], pepper: bytes) -> dict[str, KeyRecord]:
    """Records by lookup. Raises ValueError for secrets that are empty, too long, or not one key's own."""
    records: dict[str, KeyRecord] = {}
    for key in configured:
        secret = key.secret.get_secret_value().encode()
        if not 0 < len(secret) <= MAX_PRESENTED_BYTES:
            raise ValueError(f"the secret of key {key.id!r} must have 1 to {MAX_PRESENTED_BYTES} bytes")
        digest = keys.digest(pepper, secret)
        record = KeyRecord(key.id, key.user, key.tenant, key.policy, 0.0, (KeySecret(digest),))
        if records.setdefault(lookup(digest), record) is not record:
            raise ValueError(f"the secret of key {key.id!r} is another key's too")
    return records
