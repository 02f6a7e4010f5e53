"""The curves of what is left of a changed text's mark, in miniature: a toy sampler over words."""

from pathlib import Path

import numpy as np

from tests.benchmarks.watermark_robust import curves
from tests.watermark.made import sampled, tokenizer_file, unmarked
from watermark.detector import Detector
from watermark.schemes.gumbel import Vllm
from watermark.tokenizer import load

KEY = np.array([[0xA1B2C3D4E5F60718]], np.uint64)


def test_a_mark_outlives_what_it_should_and_wears_off_as_tokens_change(tmp_path: Path):
    tokenizer = load(str(tokenizer_file(tmp_path / "tokenizer.json")))
    marked = [tokenizer.tokens(sampled(KEY[0], 200, seed=seed))[0] for seed in range(6)]
    plain = [tokenizer.tokens(unmarked(600, seed=seed))[0] for seed in range(3)]
    rows = {row["target"]: row for row in curves(marked, plain, tokenizer, Detector(Vllm(), KEY)).rows}
    p = {name: row["median_log10_p"] for name, row in rows.items()}
    for name in ("every space two", "lines broken at 60 characters", "lower case"):
        assert p[name] == p["unchanged"] < -30
    # Two words of a title, or invisible letters undone, change next to nothing.
    for name in ("through Markdown", "through HTML", "zero-width characters", "look-alike letters"):
        assert p[name] < p["unchanged"] * 0.9
    for change in ("substituted", "deleted", "inserted"):
        worn = [p[f"{share} of the tokens {change}"] for share in ("10%", "20%", "40%")]
        assert p["unchanged"] < worn[0] < worn[1] < worn[2]
        assert worn[0] < -6
    assert p["unchanged"] < p["cut to 75%"] < p["cut to 50%"] < p["cut to 25%"]
    assert rows["a quarter of a text by people"]["share_1e-6"] == 1
    assert all(row["low"] <= row["share_1e-6"] <= row["high"] for row in rows.values())
