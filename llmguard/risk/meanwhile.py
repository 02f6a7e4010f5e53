"""What happens to keys between their prompts, kept until the next one takes it along to whoever judges."""

from collections import OrderedDict, deque
from typing import Final, NamedTuple, TypeAlias

MOST_KEYS: Final = 10_000
"""Keys of which something waits; the longest waiting is forgotten first."""
MOST: Final = 32
"""The last things of a kind that a key's next prompt takes along."""

Wait: TypeAlias = tuple[float, float]
"""Seconds that a key was told to wait, and seconds that it waited."""
Answer: TypeAlias = tuple[str, int, float]
"""A classifier's answer: the model, the likeliest class, and by how much it is likelier than the next."""


class Happened(NamedTuple):
    """Of one key, in order."""

    waits: tuple[Wait, ...] = ()
    answers: tuple[Answer, ...] = ()


NOTHING: Final = Happened()


class _Notes:
    __slots__ = ("answers", "refused", "waits")

    def __init__(self) -> None:
        self.refused: tuple[float, float] | None = None
        self.waits: deque[Wait] = deque(maxlen=MOST)
        self.answers: deque[Answer] = deque(maxlen=MOST)

    def returned(self, now: float) -> None:
        """It is here again."""
        if self.refused is not None:
            at, told = self.refused
            self.waits.append((told, max(0.0, now - at)))
            self.refused = None


class Meanwhile:
    """Written by the controls that refuse and reduce, read by the one that hands prompts in. Times are monotonic."""

    def __init__(self) -> None:
        self._notes: OrderedDict[str, _Notes] = OrderedDict()

    def refused(self, key: str, now: float, wait_s: float) -> None:
        """A key was refused for its rate, and told to wait."""
        notes = self._of(key)
        notes.returned(now)
        notes.refused = (now, wait_s)

    def answered(self, key: str, answer: Answer) -> None:
        """A classifier answered a key."""
        self._of(key).answers.append(answer)

    def taken(self, key: str, now: float) -> Happened:
        """What a prompt of a key takes along; it is forgotten here."""
        notes = self._notes.pop(key, None)
        if notes is None:
            return NOTHING
        notes.returned(now)
        return Happened(tuple(notes.waits), tuple(notes.answers))

    def _of(self, key: str) -> _Notes:
        notes = self._notes.get(key)
        if notes is None:
            notes = self._notes[key] = _Notes()
            if len(self._notes) > MOST_KEYS:
                self._notes.popitem(last=False)
        return notes
