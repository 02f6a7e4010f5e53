"""What a settings file may ask for and this version does not do yet.

A protection that is asked for and silently absent is a defect, so whoever loads
settings says these aloud. The feature that brings a protection deletes its notice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from llmguard.mark import FORMATS, UNIGRAM, format_of
from llmguard.mistakes import dotted
from llmguard.risk.build import vocabulary_file
from llmguard.settings import AnyUpstream, OpenAIUpstream, Settings
from llmguard.settings_policies import Policy


@dataclass(frozen=True, slots=True)
class Notice:
    """A protection that is asked for and not enforced. `key` is where the file asks for it."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


NOT_WATCHED = "prompt streams are not watched: MiniLM's vocabulary is missing; pip install 'llmguard[embedded]'"
NOT_MADE = "texts are not marked in this scheme, which slows a model down or gives its key away; use gumbel"
NO_VOCABULARY = "it needs an upstream that heeds logit_bias, and the model's `vocabulary`; or use `selection`"


def unenforced(settings: Settings) -> tuple[Notice, ...]:
    """The protections that `settings` ask for and this version does not enforce."""
    return tuple(notices(settings))


def notices(settings: Settings) -> Iterator[Notice]:
    """The same, one after the other, policy by policy."""
    for name, policy in settings.policies.items():
        if policy.prompts is not None and policy.prompts.detect and vocabulary_file() is None:
            yield Notice(dotted(("policies", name, "prompts")), NOT_WATCHED)
        yield from unmarked(name, policy, settings)


def unmarked(name: str, policy: Policy, settings: Settings) -> Iterator[Notice]:
    """A policy's watermark that no text carries: at all, or of these models."""
    asked = policy.watermark
    if asked is None or asked.scheme == "none" or asked.fraction == 0:
        return
    if asked.scheme not in FORMATS:
        yield Notice(dotted(("policies", name, "watermark", "scheme")), NOT_MADE)
        return
    where = dotted(("policies", name, "watermark"))
    for public, model in settings.models.items():
        upstream = settings.upstreams[model.upstream]
        seen = model.task == "chat" and any(fnmatchcase(public, pattern) for pattern in policy.models)
        if seen and format_of(asked, upstream, model) is None:
            why = NO_VOCABULARY if asked.scheme == UNIGRAM else _why(upstream)
            yield Notice(where, f"the text of {public} is not marked: {why}")


def _why(upstream: AnyUpstream) -> str:
    if isinstance(upstream, OpenAIUpstream) and upstream.engine == "vllm":
        return (
            "vLLM by itself marks only under the one key of its --watermark-config; run it with llmguard's processor "
            "and `watermark_plugin`, or use `selection`"
        )
    return "its upstream takes no mark with a request; `selection` marks a share of its answers all the same"
