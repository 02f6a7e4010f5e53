"""What it costs to reduce a classifier's answer, in CPU time a text."""

from statistics import median

import numpy as np

from llmguard.outputs.noise import Noise
from llmguard.outputs.scores import Reduction, told
from tests.benchmarks.decoding import microseconds
from tests.benchmarks.report import Report, Row

TITLE = "scores: reduction of the answer to a text of 70 characters"
MOST_US = 20.0
TEXT = "how do I reset my card's PIN? It does not work any more, and I lost it"
CLASSES = (2, 10, 77, 150)
WAYS = {
    "label": Reduction("label"),
    "label, smoothed": Reduction("label", smoothing=2.0),
    "label, private": Reduction("label", epsilon=6.0),
    "bucket": Reduction("bucket"),
    "rounded": Reduction("rounded"),
    "full, three of them": Reduction("full", 3),
    "full": Reduction("full"),
}


def measured(name: str, how: Reduction) -> Row:
    """Medians over rounds, by the number of classes."""
    random, key = np.random.default_rng(1), b"k" * 32
    found: dict[str, object] = {"target": name}
    for classes in CLASSES:
        probs = random.dirichlet([0.2] * classes).tolist()
        rounds = microseconds(lambda probs=probs: told(probs, how, Noise(key, TEXT)))  # type: ignore[misc]
        found[f"us_{classes}_classes"] = median(rounds)
    return found


def run() -> Report:
    """The benchmark."""
    rows = [measured(name, how) for name, how in WAYS.items()]
    failures = [
        f"{row['target']}, {name}: {value:.1f} µs, more than {MOST_US:g}"
        for row in rows
        for name, value in row.items()
        if isinstance(value, float) and value > MOST_US
    ]
    return Report(TITLE, rows, failures=failures)
