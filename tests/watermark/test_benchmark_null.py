"""The benchmark of unmarked text, in miniature: text that repeats itself, as people's does."""

import json
from pathlib import Path

import numpy as np

from tests.benchmarks.watermark_null import human, null, passages
from tests.watermark.made import sampled, tokenizer_file
from watermark.tokenizer import load


def test_p_is_uniform_because_contexts_count_once_and_else_it_is_not():
    generator = np.random.default_rng(1)
    texts = [np.tile(generator.integers(0, 500, 40), 5) for _ in range(50)]
    once, naive, searched = null("toy", texts, 1000, (2,)).rows
    assert (once["passages"], once["looks"]) == (50, 1000)
    assert once["ks_p"] > 0.01
    assert once["low"] <= 1e-3 <= once["high"]
    assert naive["ks_p"] < 1e-6
    assert naive["low"] > 0.01
    assert searched["fpr_1e-3"] <= 0.005


def test_passages_are_distinct_and_of_one_length(tmp_path: Path):
    tokenizer = load(str(tokenizer_file(tmp_path / "tokenizer.json")))
    lines = [sampled(np.array([1], np.uint64), 60, seed=seed, share=1.0) for seed in (0, 1, 0)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.jsonl").write_text("".join(json.dumps({"turns": [line]}) + "\n" for line in lines))
    found = list(passages(human(tmp_path / "data"), tokenizer, 60))
    assert [passage.size for passage in found] == [60, 60]
