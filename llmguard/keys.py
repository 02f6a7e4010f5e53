"""What a key is made of, pure: secrets, their keyed hashes, and the life of a record.

Every secret that the guard works with is derived from the one in the settings.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import TypeAlias

from msgspec.structs import replace

from llmguard.store.store import KeyRecord, KeySecret

SECRET_BYTES = 32
ID_BYTES = 8
MAX_SECRETS = 4
"""How many secrets of one key may be alive at once: a further rotation ends the oldest."""
NO_DIGEST = bytes(32)

RandomBytes: TypeAlias = Callable[[int], bytes]


class KeyEnded(Exception):
    """A revoked or expired key cannot be rotated: its new secret would never be valid."""


def derive(secret: bytes, purpose: str) -> bytes:
    """The key for one purpose (32 bytes): HMAC-SHA256 of `llmguard/` + purpose."""
    return hmac.digest(secret, b"llmguard/" + purpose.encode(), "sha256")


def pepper(secret: bytes) -> bytes:
    """The key of the hashes below, from the secret of the settings."""
    return derive(secret, "keys")


def digest(pepper: bytes, presented: bytes) -> bytes:
    """The keyed hash of a presented key (32 bytes).

    Keys of ours carry 256 random bits, so a slow hash would protect nothing further; the
    pepper keeps a stolen store from confirming a guess of a weak configured key.
    """
    return hmac.digest(pepper, presented, "sha256")


def new_secret(random: RandomBytes) -> str:
    """A key as clients present it: `lg-` and 43 URL-safe characters of 32 random bytes."""
    return "lg-" + urlsafe_b64encode(random(SECRET_BYTES)).rstrip(b"=").decode()


def issue(
    user: str,
    tenant: str,
    policy: str,
    *,
    pepper: bytes,
    now: float,
    expires_at: float | None,
    random: RandomBytes,
) -> tuple[KeyRecord, str]:
    """A new key's record, and its secret, which is nowhere else."""
    secret = new_secret(random)
    record = KeyRecord(
        id="key_" + random(ID_BYTES).hex(),
        user=user,
        tenant=tenant,
        policy=policy,
        created_at=now,
        secrets=(KeySecret(digest(pepper, secret.encode())),),
        expires_at=expires_at,
    )
    return record, secret


def rotate(record: KeyRecord, secret: str, *, pepper: bytes, now: float, overlap_s: float) -> KeyRecord:
    """The record with a further secret; the older ones end after `overlap_s` at the latest.

    The secret comes from outside because a store may have to do this twice. Raises `KeyEnded`.
    """
    if not in_force(record, now):
        raise KeyEnded(record.id)
    until = now + overlap_s
    older = (
        KeySecret(old.digest, until if old.expires_at is None else min(until, old.expires_at))
        for old in record.secrets
        if old.expires_at is None or now < old.expires_at
    )
    newest = (KeySecret(digest(pepper, secret.encode())), *older)
    return replace(record, secrets=newest[:MAX_SECRETS])


def revoke(record: KeyRecord, now: float) -> KeyRecord:
    """The record without force from now on; the first revocation stands."""
    return record if record.revoked_at is not None else replace(record, revoked_at=now)


def valid(record: KeyRecord, digest: bytes, now: float) -> bool:
    """Whether the digest is that of a secret in force.

    Always makes `MAX_SECRETS` comparisons in constant time, whatever the record holds.
    """
    found = False
    secrets = record.secrets + (KeySecret(NO_DIGEST, 0.0),) * (MAX_SECRETS - len(record.secrets))
    for secret in secrets:
        same = hmac.compare_digest(secret.digest, digest)
        found |= same & (secret.expires_at is None or now < secret.expires_at)
    return found & in_force(record, now)


def ends_at(record: KeyRecord, digest: bytes) -> float | None:
    """When a valid digest stops being valid by itself, in epoch seconds."""
    ends = [record.expires_at, *(secret.expires_at for secret in record.secrets if secret.digest == digest)]
    return min((end for end in ends if end is not None), default=None)


def public(record: KeyRecord) -> dict[str, str | int | None]:
    """What may be shown of a key: everything but its secrets; times in whole epoch seconds."""
    return {
        "id": record.id,
        "user": record.user,
        "tenant": record.tenant,
        "policy": record.policy,
        "created_at": int(record.created_at),
        "expires_at": None if record.expires_at is None else int(record.expires_at),
        "revoked_at": None if record.revoked_at is None else int(record.revoked_at),
    }


def in_force(record: KeyRecord, now: float) -> bool:
    """Whether the key is neither revoked nor expired."""
    return record.revoked_at is None and (record.expires_at is None or now < record.expires_at)
