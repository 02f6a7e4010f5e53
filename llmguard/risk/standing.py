"""Where a principal stands: what the request path needs to know of it, small enough to be read with its quotas."""

from collections import OrderedDict
from typing import Final, Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["normal", "throttled", "challenged", "degraded", "blocked"]

REMEMBERED_S: Final = 7 * 86_400.0
"""For how long it counts against a principal that it was flagged before."""
MOST_KNOWN: Final = 100_000


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The heat of a principal, in decades of evidence beyond the alarm, at `at` (Unix seconds); below 0 it has none.

    `strikes` counts how often it was flagged. `pinned` is the state that an operator holds it in, until `pinned_until`
    where that is given.
    """

    heat: float = -1.0
    at: float = 0.0
    strikes: int = 0
    pinned: State | None = None
    pinned_until: float | None = None


NORMAL: Final = Standing()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Standing).decode


def note_of(standing: Standing) -> str | None:
    """The standing as it is noted; None for one that needs no note."""
    return None if standing == NORMAL else _encode(standing).decode()


def standing_of(note: str | None) -> Standing:
    """The standing in a note; what is no such note is one of a later version, and says nothing."""
    if note is None:
        return NORMAL
    try:
        return _decode(note)
    except msgspec.MsgspecError:
        return NORMAL


def subject(key: str) -> str:
    """What a key's standing is noted of."""
    return f"key:{key}"


class Standings:
    """The standings that this process has heard of last, by key."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, Standing]] = OrderedDict()

    def of(self, key: str) -> Standing:
        """What was last heard of a key."""
        found = self._known.get(key)
        return NORMAL if found is None else found[1]

    def hear(self, key: str, note: str | None) -> Standing:
        """Take a note; the standing in it."""
        if note is None:
            if self._known:
                self._known.pop(key, None)
            return NORMAL
        found = self._known.get(key)
        if found is not None and found[0] == note:
            return found[1]
        standing = standing_of(note)
        self._known[key] = note, standing
        self._known.move_to_end(key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return standing
