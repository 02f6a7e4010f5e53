"""What a settings file may ask for and this version does not do yet.

A protection that is asked for and silently absent is a defect, so whoever loads
settings says these aloud. The feature that brings a protection deletes its row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmguard.mistakes import Path, dotted
from llmguard.settings import Policy, Settings


@dataclass(frozen=True, slots=True)
class Notice:
    """A protection that is asked for and not enforced. `key` is where the file asks for it."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


@dataclass(frozen=True, slots=True)
class Gap:
    """A row of the table: where a policy asks, when it does, and what does not happen."""

    path: Path
    asked: Callable[[Policy], bool]
    message: str


POLICY_GAPS: tuple[Gap, ...] = (
    Gap(
        ("outputs", "scores"),
        lambda policy: policy.outputs is not None and policy.outputs.scores != "full",
        "scores are not reduced by this version",
    ),
    Gap(
        ("outputs", "embeddings"),
        lambda policy: policy.outputs is not None and "embeddings" in policy.endpoints,
        "embeddings are not withheld or reduced by this version where the policy names that endpoint",
    ),
    Gap(
        ("prompts",),
        lambda policy: policy.prompts is not None and policy.prompts.detect,
        "prompt streams are not watched by this version",
    ),
    Gap(
        ("watermark",),
        lambda policy: (
            policy.watermark is not None and policy.watermark.scheme != "none" and policy.watermark.fraction > 0
        ),
        "text is not watermarked by this version",
    ),
)


def unenforced(settings: Settings) -> tuple[Notice, ...]:
    """The protections that `settings` ask for and this version does not enforce."""
    return tuple(notices(settings))


def notices(settings: Settings) -> Iterator[Notice]:
    """The same, one after the other, policy by policy."""
    for name, policy in settings.policies.items():
        for gap in POLICY_GAPS:
            if gap.asked(policy):
                yield Notice(dotted(("policies", name, *gap.path)), gap.message)
