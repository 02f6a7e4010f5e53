"""What the file asks for and this version lacks is said, and nothing else is."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from llmguard.defaults import default_settings
from llmguard.settings import (
    Decoding,
    Limit,
    Outputs,
    Policy,
    Prompts,
    Settings,
    Watermark,
)
from llmguard.unenforced import unenforced

LIMIT = Limit(per="key", of="requests", limit=1)
EVERY_PROTECTION = Policy(
    endpoints=("chat", "embeddings"),
    limits=(LIMIT,),
    decoding=Decoding(),
    outputs=Outputs(),
    prompts=Prompts(),
    watermark=Watermark(),
)


def keys(policy: Policy) -> list[str]:
    """The keys that are warned of."""
    settings = Settings(secret=SecretStr("s" * 32), upstreams={}, models={}, policies={"p": policy})
    return [notice.key for notice in unenforced(settings)]


def test_every_protection_that_is_not_enforced_is_named() -> None:
    assert keys(EVERY_PROTECTION) == [
        "policies.p.outputs.scores",
        "policies.p.outputs.embeddings",
        "policies.p.prompts",
        "policies.p.watermark",
    ]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(limits=(LIMIT,)),
        Policy(outputs=Outputs(scores="full", timing_bucket_ms=50, pad_stream=True)),
        Policy(prompts=Prompts(detect=False)),
        Policy(watermark=Watermark(scheme="none")),
        Policy(watermark=Watermark(fraction=0)),
    ],
)
def test_what_is_not_asked_for_is_not_warned_of(policy: Policy) -> None:
    assert keys(policy) == []


def test_defaults_warn_of_nothing(tmp_path: Path) -> None:
    assert unenforced(default_settings(tmp_path)) == ()
