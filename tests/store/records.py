"""Keys to store."""

from hashlib import sha256

from llmguard.store.store import KeyRecord, KeySecret

NOW = 1_800_000_000.0


def secret(name: str, expires_at: float | None = None) -> KeySecret:
    """A secret whose digest is a function of `name`."""
    return KeySecret(sha256(name.encode()).digest(), expires_at)


def key(id: str = "key_1", *names: str, expires_at: float | None = None, created_at: float = NOW) -> KeyRecord:
    """A key with a secret for each of `names`, or one of its own."""
    secrets = tuple(secret(name) for name in names or (id,))
    return KeyRecord(id, "alice", "acme", "public", created_at, secrets, expires_at)
