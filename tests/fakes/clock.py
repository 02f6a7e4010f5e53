"""A clock that stands still until a test moves it."""


class FakeClock:
    """Both times go on together by `advance`; `step` sets the wall clock alone."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._elapsed = 0.0

    def advance(self, s: float) -> None:
        """Let `s` seconds pass."""
        self._now += s
        self._elapsed += s

    def step(self, s: float) -> None:
        """Set the wall clock forward, or back."""
        self._now += s

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def time(self) -> float:
        """Seconds since the Unix epoch."""
        return self._now
