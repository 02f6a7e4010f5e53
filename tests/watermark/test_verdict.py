import numpy as np
import pytest

from tests.watermark.made import VOCABULARY, sampled, tokenizer_file, unmarked
from watermark import verdict
from watermark.schemes.gumbel import Sglang, SglangDual, Vllm, VllmDual
from watermark.schemes.kgw import Lefthash, Selfhash
from watermark.schemes.synthid import SynthId
from watermark.schemes.unigram import Unigram
from watermark.tokenizer import load
from watermark.verdict import Panel, finds_itself, judge, tokens_needed

SCHEMES = [
    (Vllm(), 1, 200),
    (VllmDual(), 2, 200),
    (Sglang(), 1, 200),
    (SglangDual(), 2, 200),
    (Lefthash(VOCABULARY), 1, 200),
    (Selfhash(VOCABULARY), 1, 150),
    (Unigram(VOCABULARY), 1, 400),
    (SynthId(), 30, 300),
]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """Texts to tokens."""
    tokenizer = load(str(tokenizer_file(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")))
    return lambda text: tokenizer.tokens(text)[0]


def keys(count: int, columns: int = 1, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, columns), np.uint64)


def panel(scheme, found: np.ndarray, name: str = "key") -> Panel:
    return Panel(scheme, found, tuple(f"{name}-{place}" for place in range(len(found))))


def said(text, *panels, fpr=1e-6, **more):
    return judge(text, panels, fpr=fpr, generator=np.random.default_rng(0), **more)


@pytest.mark.parametrize(("scheme", "columns", "length"), SCHEMES, ids=lambda value: getattr(value, "name", None))
def test_every_scheme_is_found_under_its_key_alone(tokens, monkeypatch, scheme, columns, length):
    monkeypatch.setattr(verdict, "KGW_WORK", 4000)
    found = keys(2, columns)
    text = tokens(sampled(found[1], length, scheme))
    mine = said(text, panel(scheme, found))
    assert (mine.answer, mine.key_id, mine.scheme) == ("marked", "key-1", scheme.name)
    assert mine.decoy_rank_p == 1 / (mine.decoys + 1)
    assert mine.decoys >= 19
    other = said(tokens(unmarked(length)), panel(scheme, found))
    assert other.answer == "not_marked"
    assert other.p_value > 1e-4


def test_p_pays_for_every_key_by_holm(tokens):
    found = keys(100)
    text = tokens(sampled(found[0], 60))
    alone, among = said(text, panel(Vllm(), found[:1])), said(text, panel(Vllm(), found))
    assert among.log10_p == pytest.approx(alone.log10_p + 2)
    assert (among.keys, alone.runner_up_log10_p) == (100, None)
    assert among.runner_up_log10_p > -2


def test_keys_of_several_schemes_are_looked_at_together(tokens):
    found = keys(3)
    text = tokens(sampled(found[2], 200, Sglang()))
    mine = said(text, panel(Vllm(), found[:2], "vllm"), panel(Sglang(), found[2:], "sglang"))
    assert (mine.answer, mine.key_id, mine.keys) == ("marked", "sglang-0", 3)


def test_a_short_text_is_not_called_unmarked(tokens):
    short = said(tokens(sampled(keys(1)[0], 10)), panel(Vllm(), keys(1)))
    assert short.answer == "cannot_tell"
    assert short.reason.startswith("too short: 10 tokens")
    assert said(tokens(unmarked(200)), panel(Vllm(), keys(1))).answer == "not_marked"


def test_tokens_needed_are_those_of_the_published_power():
    """At one nat: 32, 76 and 139 tokens for p = 1e-3, 1e-6 and 1e-10 (mean scores; the last is from simulation)."""
    needed = [tokens_needed(Vllm(), alpha) for alpha in (1e-3, 1e-6, 1e-10)]
    assert needed == pytest.approx([32, 76, 139], rel=0.1)
    assert all(20 < tokens_needed(scheme, 1e-6) < 300 for scheme, *_ in SCHEMES)


class Broken(Vllm):
    """A scheme whose value hangs on the token, not on the key: every key finds every text."""

    def terms(self, keys, grams):
        """As if each token were marked."""
        return np.full((len(keys), len(grams)), 3.0)


def test_what_random_keys_find_as_well_is_no_evidence(tokens):
    found = said(tokens(unmarked(200)), panel(Broken(), keys(1)))
    assert found.log10_p < -6
    assert (found.answer, found.decoy_rank_p) == ("cannot_tell", 1.0)
    assert "999 random keys 999" in found.reason


def test_a_key_that_finds_itself_in_unmarked_text_accuses_nobody(tokens):
    mine = keys(1)
    text = tokens(sampled(mine[0], 200))
    panels = [panel(Vllm(), mine)]
    assert finds_itself(tokens(unmarked(2000)), panels) == frozenset()
    assert finds_itself(text, panels) == {"key-0"}
    accused = said(text, *panels, unlucky=frozenset({"key-0"}))
    assert (accused.answer, accused.decoys) == ("cannot_tell", 0)


def test_a_text_without_windows_is_one_span(tokens):
    mine = keys(1)
    found = said(tokens(sampled(mine[0], 45)), panel(Vllm(), mine))
    assert found.answer == "marked"
    assert [(span.start, span.end) for span in found.spans] == [(0, 45)]


def test_no_p_is_ever_zero(tokens):
    mine = keys(1)
    found = said(tokens(sampled(mine[0], 3000)), panel(Vllm(), mine))
    assert found.log10_p < -400
    assert 0 < found.p_value < 1e-300


def test_false_accusations_are_as_rare_as_was_asked_for(tokens):
    texts = [tokens(unmarked(100, seed=seed)) for seed in range(200)]
    accused = sum(
        said(text, panel(Vllm(), keys(3, seed=seed)), fpr=0.05).answer == "marked" for seed, text in enumerate(texts)
    )
    # Binomial(200, 0.05): above 20 with chance 1e-3.
    assert accused <= 20
