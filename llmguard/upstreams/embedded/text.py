"""From bytes to text as they come: no half characters, no stop sequences."""

import codecs
from collections.abc import Sequence


def byte_of_symbol() -> dict[str, int]:
    """The bytes behind the symbols of a byte-level BPE (GPT-2's alphabet; a bijection on 0..255)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(moved)}


class TextOut:
    """One choice's text: bytes in, whole characters out, up to the first stop sequence.

    Text that may yet turn out to be the start of a stop sequence is held back. All that is
    given out, concatenated, does not depend on how the bytes were cut.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False

    def push(self, data: bytes) -> str:
        """The text that `data` makes certain; sets `stopped` where a stop sequence is complete."""
        self._held += self._decoder.decode(data)
        places = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if places:
            self.stopped = True
            text, self._held = self._held[: min(places)], ""
            return text
        cut = len(self._held) - self._uncertain()
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def end(self) -> str:
        """What was held back, once no more comes; a character that is still incomplete is dropped."""
        text, self._held = self._held, ""
        return text

    def _uncertain(self) -> int:
        """The length of the longest end of the held text that begins a stop sequence."""
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0
