"""The store that the settings name."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from llmguard.clock import Clock
from llmguard.settings import StoreSettings
from llmguard.store.file import FileStore
from llmguard.store.ledger import Ledger
from llmguard.store.ledger_share import ShareLedger
from llmguard.store.memory import MemoryStore
from llmguard.store.store import Store

if TYPE_CHECKING:
    from watermark.keys.registry import Registry

REGISTRY: Final = "watermark-keys.json"
REGISTRY_S: Final = 2.0
"""The least that the registry may take, which is asked once for a tenant's key and not for a request."""


def open_store(settings: StoreSettings, *, clock: Clock) -> Store:
    """Open the store. Raises ValueError for a URL that cannot be right, `StoreUnavailable` for a file
    that cannot be opened; Redis is first asked by the first operation."""
    timeout_s = settings.timeout_ms / 1000
    if settings.scheme == "memory":
        return MemoryStore(clock=clock)
    if settings.scheme == "file":
        return FileStore(directory(settings.url), clock=clock, timeout_s=timeout_s)
    # Importing redis costs 60 to 110 ms; a guard without it shall not pay that.
    from llmguard.store.redis import RedisStore  # noqa: PLC0415
    from llmguard.store.redis_client import open_client  # noqa: PLC0415

    return RedisStore(open_client(settings.url), clock=clock, timeout_s=timeout_s)


def ledger_of(settings: StoreSettings, store: Store, clock: Clock) -> Ledger:
    """The store's counters, and with `on_failure: share` those that stand in for them."""
    if settings.on_failure == "refuse" or settings.local:
        return store.ledger
    return ShareLedger(store.ledger, MemoryStore(clock=clock).ledger, settings.replicas)


def registry_of(settings: StoreSettings) -> "Registry":
    """The registry of watermark keys beside the store: for a file store a file in its directory."""
    if settings.scheme == "memory":
        # The library's records are numpy's, which a gateway does without until it needs one.
        from watermark.keys.registry import MemoryRegistry  # noqa: PLC0415

        return MemoryRegistry()
    if settings.scheme == "file":
        from watermark.keys.registry import FileRegistry  # noqa: PLC0415

        return FileRegistry(directory(settings.url) / REGISTRY)
    from llmguard.store.registry_redis import RedisRegistry  # noqa: PLC0415

    return RedisRegistry(settings.url, timeout_s=max(settings.timeout_ms / 1000, REGISTRY_S))


def directory(url: str) -> Path:
    """`file:./here`, `file:/there` and `file:///there` as a path."""
    path = url.removeprefix("file:").removeprefix("//")
    if not path:
        raise ValueError("a file store names a directory: file:./llmguard-data")
    return Path(path)
