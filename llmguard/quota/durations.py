"""Durations as OpenAI's rate-limit headers spell them."""


def spelled(seconds: float) -> str:
    """`0s`, `12ms`, `3.5s`, `6m0s`, `1h0m0s`: rounded up to a millisecond, above a second to a tenth of one."""
    milliseconds = max(0, -int(-seconds * 1000 // 1))
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    tenths = -(-milliseconds // 100)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    left = f"{rest // 10}.{rest % 10}s" if rest % 10 else f"{rest // 10}s"
    if hours:
        return f"{hours}h{minutes}m{left}"
    return f"{minutes}m{left}" if minutes else left
