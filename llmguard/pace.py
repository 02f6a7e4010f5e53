"""When answers leave: by the ticks of a policy's clock, which starts with each request."""

from collections.abc import Callable, Mapping
from typing import Final

from llmguard.settings_policies import Policy

JITTER: Final = 1 / 16
"""Of a bucket, so much at most is added by chance. What is done after a tick takes microseconds, and not quite the same
after one decision as after another, for the caches' sake: to find a shift of s in jitter of width w takes some (w/s)²
requests, 10⁵ and more for a microsecond in a bucket of 5 ms."""


class Pace:
    """How long an answer, or an error, is held back.

    It leaves up to JITTER of a bucket after the next multiple of its policy's `timing_bucket_ms` from the request's
    start on, so that its time tells no more than a count of buckets. A client that nobody knows is under no policy and
    waits as under the slowest. `chance()` is uniform on [0, 1).
    """

    def __init__(self, policies: Mapping[str, Policy], chance: Callable[[], float]) -> None:
        self._chance = chance
        self._buckets = {
            name: policy.outputs.timing_bucket_ms / 1000 if policy.outputs is not None else 0.0
            for name, policy in policies.items()
        }
        self._nobody = max(self._buckets.values(), default=0.0)

    def left_s(self, policy: str, elapsed_s: float) -> float:
        """Seconds to wait: in (0, bucket · (1 + JITTER)), and 0 without a bucket; "" is nobody's policy."""
        bucket = self._buckets.get(policy, self._nobody)
        return bucket * (1.0 + JITTER * self._chance()) - elapsed_s % bucket if bucket else 0.0
