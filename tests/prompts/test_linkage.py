"""Keys with one template become one cluster; keys with an address in common do not."""

import numpy as np
import pytest

from prompts.calibration import channels
from prompts.evidence import Channels
from prompts.linkage import MEMBERS, Linkage
from prompts.prompt import Said
from prompts.scorer import Scorer
from tests.prompts.vocabulary import tokens

TOKENS = tokens()
SCORER = Scorer(TOKENS, Channels(channels()))
TEMPLATE = " ".join(f"word{i}" for i in range(700, 716))


def filler(rng: np.random.Generator, count: int = 12) -> str:
    """Words by chance."""
    return " ".join(f"word{i}" for i in rng.integers(0, 3000, count))


def said(*parts: str) -> Said:
    """A prompt of some parts."""
    found = SCORER.read(" ".join(parts))
    assert found is not None
    return found


def test_keys_that_fill_one_template_are_linked() -> None:
    rng = np.random.default_rng(30)
    linkage = Linkage(TOKENS)
    for _ in range(4):
        for key in range(20):
            linkage.see(f"k{key}", said(filler(rng), TEMPLATE, filler(rng)), frozenset({f"ip:{key}"}))
    names = {linkage.cluster(f"k{key}") for key in range(20)}
    assert len(names) == 1
    assert None not in names
    assert len(linkage.members("k3")) == 20


def test_keys_that_share_only_an_address_are_not() -> None:
    rng = np.random.default_rng(31)
    linkage = Linkage(TOKENS)
    for _ in range(30):
        for key in range(10):
            linkage.see(f"k{key}", said(filler(rng, 30)), frozenset({"ip:1", "tenant:x"}))
    assert [linkage.cluster(f"k{key}") for key in range(10)] == [None] * 10
    assert linkage.members("k0") == ("k0",)


@pytest.mark.parametrize(("tags", "prompts"), [(({"ip:1"}, {"ip:2"}), 3), (({"ip:1"}, {"ip:1"}), 2)])
def test_a_shared_tag_lowers_what_is_needed(tags: tuple[set[str], set[str]], prompts: int) -> None:
    rng = np.random.default_rng(32)
    linkage = Linkage(TOKENS)
    first = next(
        seen
        for seen in range(1, 10)
        if [linkage.see(f"k{key}", said(TEMPLATE, filler(rng)), frozenset(tags[key])) for key in (0, 1)]
        and linkage.cluster("k0") is not None
    )
    assert first == prompts


def test_near_duplicates_are_meetings_too() -> None:
    rng = np.random.default_rng(38)
    linkage = Linkage(TOKENS)
    for key in ("a", "b", "c"):
        linkage.see(key, said(filler(rng)))
    linkage.near("a", "nobody")
    for first, second in (("a", "b"), ("b", "a")) * 2:
        assert linkage.cluster("a") is None
        linkage.near(first, second)
    assert linkage.cluster("a") == linkage.cluster("b") is not None
    assert linkage.cluster("c") is None


def test_a_cluster_that_goes_into_another_is_told() -> None:
    rng = np.random.default_rng(39)
    linkage = Linkage(TOKENS)
    names = [f"k{i}" for i in range(5)]
    for key in names:
        linkage.see(key, said(filler(rng)))

    def link(*keys: str) -> None:
        for _ in range(3):
            for key in keys:
                linkage.near(key, keys[keys.index(key) - 1])

    link("k0", "k1")
    link("k2", "k3", "k4")
    assert linkage.dissolved() == []
    smaller = linkage.cluster("k0")
    link("k0", "k2")
    assert linkage.dissolved() == [smaller]
    assert linkage.dissolved() == []
    assert linkage.cluster("k1") == linkage.cluster("k4")


def test_few_meetings_in_a_long_history_do_not_add_up() -> None:
    rng = np.random.default_rng(35)
    linkage = Linkage(TOKENS)
    for place in range(600):
        shared = (TEMPLATE,) if place % 40 == 0 else ()
        for key in ("a", "b"):
            linkage.see(key, said(filler(rng), *shared, filler(rng)))
    assert linkage.cluster("a") is None


def test_a_long_word_in_common_is_no_meeting() -> None:
    rng = np.random.default_rng(37)
    linkage = Linkage(TOKENS)
    for _ in range(20):
        for key in range(5):
            linkage.see(f"k{key}", said(filler(rng), "donaudampfschifffahrtsgesellschaft", filler(rng)))
    assert [linkage.cluster(f"k{key}") for key in range(5)] == [None] * 5


def test_a_crowded_table_links_nobody() -> None:
    rng = np.random.default_rng(36)
    linkage = Linkage(TOKENS, cells=1 << 8)
    for _ in range(100):
        for key in range(10):
            linkage.see(f"k{key}", said(filler(rng, 40)))
    assert [linkage.cluster(f"k{key}") for key in range(10)] == [None] * 10


def test_a_prompts_cluster_is_that_of_the_past() -> None:
    rng = np.random.default_rng(33)
    linkage = Linkage(TOKENS)
    for _ in range(9):
        for key in ("a", "b"):
            before = linkage.cluster(key)
            assert linkage.see(key, said(TEMPLATE, filler(rng))) == before
    assert linkage.cluster("a") == linkage.cluster("b") is not None


def test_clusters_and_keys_are_bounded() -> None:
    rng = np.random.default_rng(34)
    linkage = Linkage(TOKENS, keys=400)
    for _ in range(4):
        for key in range(500):
            linkage.see(f"k{key}", said(TEMPLATE, filler(rng, 4)))
    sizes = {len(linkage.members(f"k{key}")) for key in range(400)}
    assert max(sizes) <= MEMBERS
    assert max(sizes) > MEMBERS / 4
    assert linkage.cluster("k450") is None
    assert linkage.members("k450") == ()


def test_too_short_a_prompt_links_nobody() -> None:
    linkage = Linkage(TOKENS)
    for _ in range(20):
        assert linkage.see("a", said("word5 word6")) is None
        assert linkage.see("b", said("word5 word6")) is None


def test_a_size_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        Linkage(TOKENS, cells=1000)
