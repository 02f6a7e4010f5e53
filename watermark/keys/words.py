"""A key's words and its name, from one master secret. Pure, and of the standard library alone: gateways load it."""

import hmac

WORD = 8
MIN_MASTER_BYTES = 32


def words(master: bytes, *, scheme: str, tenant: str, epoch: int, model: str, columns: int = 1) -> tuple[int, ...]:
    """The 64-bit words [columns] of a tenant's key for a scheme, an epoch and a model, by HMAC-SHA256.

    Parts go in with their lengths, so that no two requests share a message. Without the master a
    key tells nothing of another. Raises ValueError for a master of less than 32 bytes.
    """
    if len(master) < MIN_MASTER_BYTES:
        raise ValueError(f"the master secret must have at least {MIN_MASTER_BYTES} bytes")
    parts = [part.encode() for part in (scheme, tenant, str(epoch), model)]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return tuple(
        int.from_bytes(hmac.digest(master, column.to_bytes(4, "big") + message, "sha256")[:WORD], "big")
        for column in range(columns)
    )


def key_id(master: bytes, *, scheme: str, tenant: str, epoch: int, model: str) -> str:
    """What a key is called: the same wherever it is derived, and without its owner's name.

    An id that says whose key it is would say so in every verifier's bundle.
    """
    (name,) = words(master, scheme="id", tenant=f"{scheme} {tenant}", epoch=epoch, model=model)
    return f"wm_{name:016x}"
