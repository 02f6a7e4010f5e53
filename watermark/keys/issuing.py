"""Issuing, rotating and revoking keys."""

from collections.abc import Callable
from itertools import count

import numpy as np
from msgspec.structs import asdict, replace

from watermark.keys.record import KeyRecord, Order
from watermark.keys.registry import Records, Registry
from watermark.keys.words import key_id, words
from watermark.prf import murmur3

Accept = Callable[[KeyRecord], bool]
"""Whether a new key's p-values on unmarked text are uniform: see `statistics.calibration.screened`."""
MURMUR = "gumbel-sglang"
EPOCHS = 1 << 32
"""Epochs beyond it stand in for the one that they leave when it is divided by this."""


class UnknownKeyError(LookupError):
    """No key has this id."""


def issue(registry: Registry, master: bytes, order: Order, *, accept: Accept, now: float) -> KeyRecord:
    """A new key, valid from now on: of the tenant's next epoch whose key is fit.

    An epoch is passed over where `accept` refuses its key, or where the murmur3 format could not
    tell it from one issued before, whoever's.
    """
    return registry.change(lambda records: (*records, _next(records, master, order, accept, now)))[-1]


def rotate(registry: Registry, master: bytes, id: str, *, accept: Accept, now: float) -> KeyRecord:
    """A successor of a key, which marks from now on; the old one ends but goes on verifying."""

    def change(records: Records) -> Records:
        old = _found(records, id)
        ended = replace(old, valid_to=now if old.valid_to is None else min(old.valid_to, now))
        order = Order(**{field: getattr(old, field) for field in Order.__struct_fields__})
        return (*_with(records, ended), _next(records, master, order, accept, now))

    return registry.change(change)[-1]


def revoke(registry: Registry, id: str, *, now: float) -> KeyRecord:
    """Disown a key: it neither marks nor proves anything from now on. Revoking twice keeps the first time."""

    def change(records: Records) -> Records:
        old = _found(records, id)
        return records if old.revoked_at is not None else _with(records, replace(old, revoked_at=now))

    return _found(registry.change(change), id)


def collides(key: np.uint64, others: tuple[np.uint64, ...]) -> bool:
    """Whether the murmur3 format cannot tell a key from one of the others."""
    states = murmur3.state(np.array(others, np.uint64))
    return bool((states == murmur3.state(np.array([key], np.uint64))).any())


def _next(records: Records, master: bytes, order: Order, accept: Accept, now: float) -> KeyRecord:
    used = [
        record.epoch % EPOCHS
        for record in records
        if (record.scheme, record.tenant, record.model) == (order.scheme, order.tenant, order.model)
    ]
    for epoch in count(max(used, default=0) + 1):
        candidate = fresh(master, order, epoch, now)
        if not taken(candidate, records) and accept(candidate):
            return candidate
    raise AssertionError("unreachable: epochs do not end")


def fresh(master: bytes, order: Order, epoch: int, now: float) -> KeyRecord:
    """The record of an order's key in an epoch."""
    asked = {"scheme": order.scheme, "tenant": order.tenant, "model": order.model}
    found = words(master, epoch=epoch, columns=order.columns, **asked)
    return KeyRecord(
        **asdict(order),
        id=key_id(master, epoch=epoch, **asked),
        epoch=epoch,
        words=tuple(f"{word:016x}" for word in found),
        valid_from=now,
    )


def taken(candidate: KeyRecord, records: Records) -> bool:
    """Whether the candidate's format could not tell its key from one of the records, whoever's."""
    if not candidate.scheme.startswith(MURMUR):
        return False
    others = tuple(word for record in records if record.scheme.startswith(MURMUR) for word in record.key)
    return any(collides(word, others) for word in candidate.key)


def _found(records: Records, id: str) -> KeyRecord:
    for record in records:
        if record.id == id:
            return record
    raise UnknownKeyError(f"no watermark key has the id {id}")


def _with(records: Records, changed: KeyRecord) -> Records:
    return tuple(changed if record.id == changed.id else record for record in records)
