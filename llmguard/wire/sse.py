"""Server-sent events: reading an upstream's stream."""


class EventTooLarge(Exception):
    """One event of a stream exceeds the limit."""


class EventReader:
    """Splits a byte stream into the `data` of its events, as the HTML standard defines them.

    `feed(block)` gives the data of every event that the block completes; lines may end in LF,
    CRLF or CR, comments and other fields are passed over, several data lines are joined by LF.
    An event without data is passed over too. Holds at most `limit` bytes.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = 4 * 1024 * 1024) -> None:
        self._buffer = b""
        self._limit = limit

    def feed(self, block: bytes) -> list[bytes]:
        """The data of every event that is complete now; raises EventTooLarge."""
        text = self._buffer + block if self._buffer else block
        if b"\r" in text:
            # A CR at the very end may be half of a CRLF: it waits for the next block.
            held = text.endswith(b"\r")
            text = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *frames, rest = text.split(b"\n\n")
            self._buffer = rest + b"\r" if held else rest
        else:
            *frames, self._buffer = text.split(b"\n\n")
        if len(self._buffer) > self._limit:
            raise EventTooLarge
        events = []
        for frame in frames:
            # The common case, whole: one line, `data: …`.
            if data := frame[6:] if frame.startswith(b"data: ") and b"\n" not in frame else self._data(frame):
                events.append(data)
        return events

    @staticmethod
    def _data(frame: bytes) -> bytes:
        lines = []
        for line in frame.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"data":
                lines.append(value.removeprefix(b" "))
        return b"\n".join(lines)
