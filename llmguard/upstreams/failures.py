"""How an upstream can fail, in the guard's own words. Nothing of the upstream's answer is kept."""

from typing import Final

from llmguard.errors import Denial, UpstreamFailure

LONGEST_WAIT_S: Final = 120.0
"""OpenAI's SDKs obey a retry-after of at most this."""

_INVALID: Final = frozenset({400, 413, 422})
_BUSY: Final = frozenset({429, 503, 529})


def unreachable() -> UpstreamFailure:
    """No connection, or one that broke."""
    return UpstreamFailure(Denial("upstream_error"), retryable=True)


def timed_out() -> UpstreamFailure:
    """No answer in time; the work may still be under way there, so it is not ordered twice."""
    return UpstreamFailure(Denial("upstream_timeout"), retryable=False)


def bad_answer() -> UpstreamFailure:
    """An answer that is not one."""
    return UpstreamFailure(Denial("upstream_error"), retryable=True)


def invalid_request() -> UpstreamFailure:
    """The model itself calls the request invalid: the client's error, so no retry."""
    return UpstreamFailure(
        Denial("invalid_value", "The model cannot serve this request: it may be longer than the model's context."),
        retryable=False,
    )


def busy(retry_after: str | None) -> UpstreamFailure:
    """Too many requests for the upstream; its own figure for when to come back is kept if sane."""
    return UpstreamFailure(Denial("overloaded", retry_after_s=_seconds(retry_after)), retryable=True)


def from_status(status: int, retry_after: str | None = None) -> UpstreamFailure:
    """The failure that a status other than 200 stands for."""
    if status in _INVALID:
        return invalid_request()
    if status in _BUSY:
        return busy(retry_after)
    if status in {408, 504}:
        return timed_out()
    # What is left below 500 is a mistake in the settings: only another model can help.
    return UpstreamFailure(Denial("upstream_error"), retryable=status >= 500)


def _seconds(retry_after: str | None) -> float:
    try:
        value = float(retry_after or "1")
    except ValueError:
        return 1.0
    return value if 0 < value <= LONGEST_WAIT_S else 1.0
