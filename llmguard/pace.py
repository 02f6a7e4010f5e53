"""When answers leave: on the ticks of a policy's clock, which starts with each request."""

from collections.abc import Mapping

from llmguard.settings import Policy


class Pace:
    """How long an answer, or an error, is held back; pure.

    It leaves at the next multiple of its policy's `timing_bucket_ms` after the request's start, so that its time tells
    no more than a count of buckets. A client that nobody knows is under no policy and waits as under the slowest.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self._buckets = {
            name: policy.outputs.timing_bucket_ms / 1000 if policy.outputs is not None else 0.0
            for name, policy in policies.items()
        }
        self._nobody = max(self._buckets.values(), default=0.0)

    def left_s(self, policy: str, elapsed_s: float) -> float:
        """Seconds until the next multiple: in (0, bucket], and 0 without a bucket; "" is nobody's policy."""
        bucket = self._buckets.get(policy, self._nobody)
        return bucket - elapsed_s % bucket if bucket else 0.0
