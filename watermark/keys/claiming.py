"""Keys that are taken as they are needed: the same for whoever asks, and none that its format takes for another's."""

from itertools import count

from watermark.keys.issuing import EPOCHS, fresh, taken
from watermark.keys.record import KeyRecord, Order
from watermark.keys.registry import Records, Registry


def claim(registry: Registry, master: bytes, order: Order, epoch: int, *, now: float) -> KeyRecord:
    """The key of this order and epoch: that of an earlier claim, or a new one that collides with nobody's.

    A key that was revoked is not used again: the next of its epoch takes its place. Raises `RegistryError`.
    """

    def mine(record: KeyRecord) -> bool:
        same = (record.scheme, record.tenant, record.model) == (order.scheme, order.tenant, order.model)
        return same and record.epoch % EPOCHS == epoch

    def change(records: Records) -> Records:
        own = [record for record in records if mine(record)]
        if any(record.revoked_at is None for record in own):
            return records
        used = {record.epoch for record in own}
        for turn in count():
            candidate = fresh(master, order, epoch + turn * EPOCHS, now)
            if candidate.epoch not in used and not taken(candidate, records):
                return (*records, candidate)
        raise AssertionError("unreachable: turns do not end")

    found = next((one for one in registry.records() if mine(one) and one.revoked_at is None), None)
    if found is not None:
        return found
    return next(one for one in registry.change(change) if mine(one) and one.revoked_at is None)
