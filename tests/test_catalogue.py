"""Which models there are for whom."""

import pytest

from llmguard.catalogue import Catalogue
from tests.guarded import settings

POLICIES = {"public": {}, "narrow": {"models": ["oth*"]}, "none": {"models": []}, "case": {"models": ["Chat"]}}
CATALOGUE = Catalogue(settings(policies=POLICIES), 1_800_000_000)


@pytest.mark.parametrize(
    ("policy", "names"),
    [("public", ["chat", "other"]), ("narrow", ["other"]), ("none", []), ("case", []), ("", ["chat", "other"])],
)
def test_a_policy_shows_what_its_patterns_match(policy: str, names: list[str]) -> None:
    assert list(CATALOGUE.visible(policy)) == names


def test_an_unknown_policy_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        CATALOGUE.visible("unknown")
