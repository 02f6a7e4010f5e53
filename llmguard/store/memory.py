"""A store in this process's memory: for tests, and for a guard that may forget."""

from collections.abc import Callable

from llmguard.clock import Clock
from llmguard.store.ledger_local import LocalLedger
from llmguard.store.phrases_memory import MemoryPhrases
from llmguard.store.store import KeyConflict, KeyRecord, by_age, present


class MemoryStore:
    """Dictionaries. No method awaits anything, so each is atomic in its event loop."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._keys: dict[str, KeyRecord] = {}
        self._ids: dict[str, str] = {}
        self._ledger = LocalLedger(clock=clock)
        self._phrases = MemoryPhrases(clock=clock)

    @property
    def ledger(self) -> LocalLedger:
        """The quotas' counters."""
        return self._ledger

    @property
    def phrases(self) -> MemoryPhrases:
        """What is remembered of answers."""
        return self._phrases

    async def put_key(self, record: KeyRecord) -> None:
        """Add a key, and drop those that are gone."""
        now = self._clock.time()
        for old in [old for old in self._keys.values() if present(old, now) is None]:
            self._drop(old)
        if record.id in self._keys:
            raise KeyConflict(record.id)
        self._set(record)

    async def find_key(self, lookup: str) -> KeyRecord | None:
        """The key that has a secret with this lookup."""
        return await self.get_key(self._ids.get(lookup, ""))

    async def get_key(self, id: str) -> KeyRecord | None:
        """The key with this id."""
        record = self._keys.get(id)
        return None if record is None else present(record, self._clock.time())

    async def list_keys(self) -> list[KeyRecord]:
        """All keys, the oldest first."""
        now = self._clock.time()
        return sorted((record for record in self._keys.values() if present(record, now)), key=by_age)

    async def update_key(self, id: str, change: Callable[[KeyRecord], KeyRecord]) -> KeyRecord | None:
        """Replace a key by `change` of it."""
        old = await self.get_key(id)
        if old is None:
            return None
        new = change(old)
        self._set(new)
        return new

    async def ping(self) -> None:
        """Memory is always there."""

    async def close(self) -> None:
        """Let go of the ledger."""
        await self._ledger.close()

    def _set(self, record: KeyRecord) -> None:
        if any(self._ids.get(secret.lookup, record.id) != record.id for secret in record.secrets):
            raise KeyConflict(record.id)
        if record.id in self._keys:
            self._drop(self._keys[record.id])
        self._keys[record.id] = record
        self._ids.update((secret.lookup, record.id) for secret in record.secrets)

    def _drop(self, record: KeyRecord) -> None:
        del self._keys[record.id]
        for secret in record.secrets:
            del self._ids[secret.lookup]
