"""Extraction is flagged and honest sessions are not, on made-up texts; the state is bounded; nothing is an error."""

import random

import pytest

from prompts.detector import CLUSTER, Detector, Reading
from prompts.fingerprint import hashed
from prompts.lookout import BATCH, Lookout
from prompts.parts import Part, Parts
from prompts.scorer import ids_of
from prompts.window import Window
from tests.prompts.corpora import Corpus, made_up
from tests.prompts.one_cluster import NAME, OneCluster
from tests.prompts.sessions import ATTACKS, HONEST, mixture, styled, templates
from tests.prompts.vocabulary import TEMPLATE_WORDS, tokens

TOKENS = tokens(TEMPLATE_WORDS)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return made_up(40)


def detector(prompts: int = 4000) -> Detector:
    """A small one."""
    return Detector(TOKENS, prompts=prompts)


def flagged_after(session: list[str], one: Detector, principal: str = "a") -> int | None:
    """The place of the prompt at which a session is flagged."""
    for place, text in enumerate(session, 1):
        if one.observe(principal, text).flagged:
            return place
    return None


@pytest.mark.parametrize("kind", HONEST)
def test_honest_sessions_are_not_flagged(kind: str, corpus: Corpus) -> None:
    one = detector()
    for seed in range(3):
        session = HONEST[kind](corpus, random.Random(seed), 400)
        assert flagged_after(session, one, f"{kind}{seed}") is None


@pytest.mark.parametrize(
    ("kind", "within"),
    [
        ("1 template", 70),
        ("5 templates", 90),
        ("10 templates", 100),
        ("20 templates", 150),
        ("wrapped template", 80),
        ("tool-use distillation", 90),
        ("random words", 100),
        ("perturbation, seed by seed", 100),
        ("perturbation, in rounds", 300),
    ],
)
def test_extraction_is_flagged(kind: str, within: int, corpus: Corpus) -> None:
    for seed in range(3):
        found = flagged_after(ATTACKS[kind](corpus, random.Random(seed), 300), detector())
        assert found is not None
        assert found <= within


def test_a_mixture_is_flagged(corpus: Corpus) -> None:
    session = mixture(templates(5), HONEST["mixed"], 0.25)(corpus, random.Random(1), 500)
    assert flagged_after(session, detector()) is not None


def test_an_attack_after_a_long_honest_history_is_flagged(corpus: Corpus) -> None:
    one = detector()
    assert flagged_after(HONEST["mixed"](corpus, random.Random(2), 500), one) is None
    found = flagged_after(templates(1)(corpus, random.Random(3), 300), one)
    assert found is not None
    assert found <= 120


def test_a_template_of_ones_own_is_flagged_too_and_is_policys_to_excuse(corpus: Corpus) -> None:
    """One prompt in ten with a fixed instruction is no different from a mixture: said, not hidden."""
    assert flagged_after(styled(corpus, random.Random(4), 1000), detector()) is not None


def test_repeats_are_not_scored(corpus: Corpus) -> None:
    one = detector()
    first, again = one.observe("a", corpus.chats[0]), one.observe("a", corpus.chats[0].upper() + " ")
    assert (first.scored, again.scored) == (True, False)
    assert again.prompts == 1


def split(one: Detector, session: list[str], keys: int, source: random.Random) -> list[Reading]:
    """A stream over keys and addresses by chance."""
    names = [source.randrange(keys) for _ in session]
    return [one.observe(f"k{key}", text, frozenset({f"ip:{key}"})) for key, text in zip(names, session, strict=True)]


def test_a_stream_split_over_twenty_keys_is_linked_and_flagged_and_bystanders_are_not(corpus: Corpus) -> None:
    one, source = detector(), random.Random(5)
    session = templates(1)(corpus, source, 300)
    honest = HONEST["mixed"](corpus, source, 300)
    readings = []
    for place, text in enumerate(session):
        readings += split(one, [text], 20, source)
        bystander = one.observe(f"h{place % 20}", honest[place], frozenset({f"ip:{place % 20}"}))
        assert not bystander.flagged
    assert sum(reading.flagged for reading in readings) > 100
    assert all(reading.flagged_after is None for reading in readings)
    assert len(one.linkage.members("k0")) >= 18


def test_keys_of_a_long_template_with_a_short_gap_are_flagged_though_half_hidden(corpus: Corpus) -> None:
    """Each key says some seven of its prompts, edits of one another, which weigh little by themselves."""
    one, source = detector(), random.Random(5)
    long = templates(1, [" ".join(f"word{number}" for number in range(900, 980)) + " {}"])
    session = mixture(long, HONEST["mixed"], 0.5)(corpus, source, 300)
    names = [f"k{source.randrange(20)}" for _ in session]
    readings = [one.observe(name, text) for name, text in zip(names, session, strict=True)]
    assert len({name for name, reading in zip(names, readings, strict=True) if reading.flagged}) >= 3
    assert all(reading.flagged_after is None for reading in readings)


def test_the_same_stream_is_not_flagged_where_keys_are_not_linked(corpus: Corpus) -> None:
    """What linkage is for: each key's own process sees too little."""
    one, source = detector(), random.Random(5)
    readings = split(one, templates(1)(corpus, source, 300), 20, source)
    assert max(reading.log10_e for reading in readings) < 3


def test_what_a_key_said_before_it_was_linked_is_its_clusters_past(corpus: Corpus) -> None:
    """Perturbations of twenty seeds, half of them hidden in honest prompts, over twenty keys."""
    one, source = detector(), random.Random(12)
    session = mixture(ATTACKS["perturbation, in rounds"], HONEST["mixed"], 0.5)(corpus, source, 300)
    readings = split(one, session, 20, source)
    assert any(reading.flagged for reading in readings)
    # The windows of clusters that went into larger ones are gone.
    assert len(one) <= 2 * len(session)


def test_keys_that_share_near_duplicates_and_no_long_run_are_linked(corpus: Corpus) -> None:
    """Every fourth word of one prompt is another each time: no run of words is long enough to link by."""
    source = random.Random(13)
    seed = [f"word{i}" for i in range(900, 940)]

    def session() -> list[str]:
        texts = []
        for _ in range(80):
            words = list(seed)
            for place in range(source.randrange(6), len(words), 6):
                words[place] = source.choice(corpus.words)
            texts.append(" ".join(words))
        return texts

    without = detector()
    watched = Detector(TOKENS, prompts=4000, lookout=Lookout(hashed(TOKENS.bits), 4000))
    for one in (without, watched):
        split(one, session(), 4, source)
    assert without.linkage.cluster("k0") is None
    assert len(watched.linkage.members("k0")) == 4


def test_one_prompt_in_common_is_one_meeting(corpus: Corpus) -> None:
    """Texts that two people copied, one from each other, are long runs and near-duplicates, and link nobody."""
    one = Detector(TOKENS, prompts=4000, lookout=Lookout(hashed(TOKENS.bits), 4000))
    first, second = (" ".join(f"word{i}" for i in range(start, start + 40)) for start in (300, 800))
    copied = {2 * BATCH: first, 2 * BATCH + 1: second, 4 * BATCH - 3: first, 4 * BATCH - 2: second}
    for place, text in enumerate(corpus.chats[: 4 * BATCH]):
        one.observe(f"k{place % 2}", copied.get(place, text))
    assert one.linkage.cluster("k0") is None


def test_who_edits_a_text_amid_the_keys_of_an_attack_is_not_flagged_with_them(corpus: Corpus) -> None:
    """Its edits are far apart in the cluster's window, with others' prompts in between, and edits all the same."""
    one, source = detector(), random.Random(14)
    session = templates(1)(corpus, source, 400)
    # Three prompts of theirs make it one of them.
    honest = iter([*session[60:90:10], *HONEST["one prompt edited"](corpus, source, 40)])
    readings: list[Reading] = []
    for place, text in enumerate(session):
        readings += split(one, [text], 10, source)
        if place >= 100 and place % 10 == 0:
            assert not one.observe("h", next(honest), frozenset({"ip:1"})).flagged
    assert sum(reading.flagged for reading in readings) > 200
    assert "h" in one.linkage.members("k0")


def test_a_text_that_a_member_edits_is_one_text_in_its_clusters_window(corpus: Corpus) -> None:
    """As many texts that begin alike would be a template to whoever begins so, too."""
    one = detector()
    scorer = one.scorer
    own, together = (Window(100, scorer.hashes) for _ in range(2))
    parts, part, source, places = Parts(one.channels), Part(), random.Random(15), []
    others = iter(corpus.chats)
    for text in HONEST["one prompt edited"](corpus, source, 20):
        said = scorer.read(text)
        assert said is not None
        taken = scorer.take(own, said)
        pooled = taken and scorer.pool(together, said, taken, *part.chain(taken))
        if taken is None or pooled is None:
            continue
        parts.take(part, taken, pooled, said.length)
        places.append(pooled.joined.place)
        for _ in range(10):
            between = scorer.read(next(others))
            assert between is not None
            scorer.take(together, between)
    assert taken is not None
    assert part.chain(taken)[1] == len(places) - 1
    # The second's place in its own window is too early to tell an edit from a template.
    assert places == [1, 1, *range(2, len(places))]
    assert len(places) > 15
    part.leave()
    assert part.chain(taken) == (None, 0)


def test_a_text_that_several_members_edit_is_judged_in_their_clusters_window(corpus: Corpus) -> None:
    """One template with a short gap, filled by four keys in turn, is an edit of an edit to each of them."""
    one, source = detector(), random.Random(17)
    scorer = one.scorer
    together, plain = (Window(200, scorer.hashes) for _ in range(2))
    parts, members = Parts(one.channels), [(Window(100, scorer.hashes), Part()) for _ in range(4)]
    template = " ".join(f"word{number}" for number in range(900, 930))
    edits = 0
    for turn in range(60):
        own, part = members[turn % 4]
        said = scorer.read(f"{template} {source.choice(corpus.words)} {source.choice(corpus.words)}")
        assert said is not None
        taken = scorer.take(own, said)
        assert taken is not None
        pooled = scorer.pool(together, said, taken, *part.chain(taken))
        assert pooled is not None
        parts.take(part, taken, pooled, said.length)
        as_one = scorer.take(plain, said)
        assert as_one is not None
        assert (pooled.events, pooled.joined.place) == (as_one.events, as_one.joined.place)
        edits += taken.joined.place >= 3
    assert edits > 40


def test_chains_of_a_window_that_was_emptied_are_not_gone_on_with(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Part] = []

    def leave(part: Part) -> None:
        left.append(part)

    monkeypatch.setattr(Part, "leave", leave)
    one, source = Detector(TOKENS, prompts=300, principals=50), random.Random(16)
    split(one, templates(1)(corpus, source, 100), 4, source)
    assert not left
    for place, text in enumerate(corpus.chats[:400]):
        one.observe(f"b{place % 3}", text)
    assert len({id(part) for part in left}) == 4


def test_honest_keys_of_one_topic_behind_one_address_are_not_flagged(corpus: Corpus) -> None:
    one, source = detector(), random.Random(6)
    for text in HONEST["classroom"](corpus, source, 600):
        assert not one.observe(f"k{source.randrange(20)}", text, frozenset({"ip:1"})).flagged


@pytest.mark.parametrize("kind", ["classroom", "assistant, one topic", "one prompt edited", "bursts"])
def test_honest_keys_that_are_taken_for_one_are_not_flagged(kind: str, corpus: Corpus) -> None:
    one, source = detector(), random.Random(18)
    one.linkage = OneCluster(TOKENS)
    sessions = [HONEST[kind](corpus, source, 30) for _ in range(20)]
    for _ in range(500):
        key = source.randrange(20)
        if sessions[key]:
            assert not one.observe(f"k{key}", sessions[key].pop(0)).flagged
    assert one.signals(f"{CLUSTER}{NAME}")["shared"].log10_e < 1


def test_keys_that_perturb_one_seed_after_another_are_flagged_though_half_hidden(corpus: Corpus) -> None:
    """Each key sends an edit or two of each seed: only together they are edits of one text by many."""
    one, source = detector(), random.Random(19)
    session = mixture(ATTACKS["perturbation, seed by seed"], HONEST["mixed"], 0.5)(corpus, source, 300)
    readings = split(one, session, 20, source)
    assert any(reading.flagged for reading in readings)
    assert all(reading.flagged_after is None for reading in readings)


def test_windows_are_bounded_and_the_longest_silent_goes_first(corpus: Corpus) -> None:
    one = Detector(TOKENS, prompts=300, principals=5)
    for place, text in enumerate(corpus.chats):
        one.observe(f"k{place // 100}", text)
        assert len(one) <= 300
    assert one.signals("k0") == {}
    assert one.signals("k6") != {}


def test_a_forgotten_principal_leaves_nothing_behind(corpus: Corpus) -> None:
    one = detector()
    for text in corpus.chats[:200]:
        one.observe("a", text)
    one.forget("a")
    one.forget("a")
    assert len(one) == 0
    assert one.signals("a") == {}
    assert one.observe("a", corpus.chats[0]).prompts == 1


def test_random_words_are_new_among_a_hundred_full_windows(corpus: Corpus) -> None:
    """What other principals said does not make a pair known."""
    one = Detector(TOKENS, prompts=4000)
    for place, text in enumerate(HONEST["mixed"](corpus, random.Random(9), 800)):
        one.observe(f"b{place % 4}", text)
    found = flagged_after(ATTACKS["random words"](corpus, random.Random(10), 150), one)
    assert found is not None
    assert found <= 100


def test_evidence_outlives_its_window(corpus: Corpus) -> None:
    one = Detector(TOKENS, prompts=200)
    attack = templates(1)(corpus, random.Random(7), 80)
    assert flagged_after(attack, one) is not None
    for place, text in enumerate(corpus.chats[:300]):
        one.observe(f"b{place % 3}", text)
    assert one.observe("a", "once more").flagged


def test_signals_tell_each_channels_part(corpus: Corpus) -> None:
    one = detector()
    for text in templates(1)(corpus, random.Random(8), 100):
        one.observe("a", text)
    found = one.signals("a")
    assert found["affix_60_3_0"].log10_e > 3
    assert found["affix_60_3_0"].p < 1e-3
    assert found["brevity"].p == 1.0


BAD = {
    "nothing": "",
    "white space": " \n",
    "binary": "\x00\x01\x02" * 50,
    "one token": "a",
    "emoji": "\U0001f600\U0001f680",
    "mixed directions": "\u0645\u0631 abc \u202e cba",
    "half a character": "\ud800",
    "one long word": "x" * 200_000,
    "marks": "e\u0301" * 100_000,
    "signs": "( ) [ ] " * 9999,
    "byte order mark": "\ufeff",
    "no width": "\u200b",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_read_or_passed_over(kind: str) -> None:
    one = detector()
    first = one.observe("a", BAD[kind])
    again = one.observe("a", BAD[kind])
    assert not again.scored
    assert again.prompts == first.prompts == first.scored
    assert one.observe("a", "what is this about, then?").scored


def test_a_prompt_that_was_read_elsewhere_tells_the_same(corpus: Corpus) -> None:
    """Whoever has only the vocabulary sends ids; the statistics are another process's."""
    here, there = detector(), detector()
    for text in templates(1)(corpus, random.Random(9), 60):
        ids = ids_of(text, TOKENS)
        assert there.take("a", there.scorer.said(ids)) == here.observe("a", text)
    assert here.signals("a") == there.signals("a")


def test_a_cluster_has_evidence_and_members_of_its_own(corpus: Corpus) -> None:
    one, source = detector(), random.Random(5)
    names = {reading.cluster for reading in split(one, templates(1)(corpus, source, 300), 20, source)} - {None}
    (name,) = {one.linkage.cluster(f"k{key}") for key in range(20)} - {None}
    assert name in names
    pooled = one.pooled(str(name))
    assert pooled is not None
    assert len(pooled.members) >= 18
    assert pooled.flagged_after is not None
    assert pooled.log10_e > 3
    assert one.pooled_signals(str(name))["affix_60_3_0"].log10_e > 3
    assert one.pooled("k99") is None


def test_a_forgotten_key_is_no_longer_flagged_for_its_cluster(corpus: Corpus) -> None:
    one, source = detector(), random.Random(5)
    readings = split(one, templates(1)(corpus, source, 300), 20, source)
    assert readings[-1].flagged
    for key in range(20):
        one.forget(f"k{key}")
        assert not one.observe(f"k{key}", "what is this about, then?").flagged
