"""Texts that sessions are made of: public ones where the development data is there, and made-up ones anywhere."""

import csv
import gzip
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.prompts.vocabulary import COMMON_WORDS

Topics = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Honest texts, and those of attacks; `words` are what random prompts are made of."""

    chats: Sequence[str]
    tasks: Sequence[str]
    dialogues: Sequence[Sequence[str]]
    assistant: Topics
    support: Topics
    words: Sequence[str]
    distillation: Sequence[str] = ()
    theft: Sequence[str] = ()
    seed_tasks: Sequence[str] = ()
    benchmark: Sequence[str] = ()
    published: Topics = field(default_factory=dict)

    @property
    def talk(self) -> list[str]:
        """Everything that one person may ask of a chat model."""
        return [*self.chats, *self.tasks, *(turn for turns in self.dialogues for turn in turns)]


def flat(topics: Topics) -> list[str]:
    """The texts of all topics."""
    return [text for texts in topics.values() for text in texts]


def read(folder: Path) -> Corpus:
    """The public data; raises OSError where it is not."""
    legit, attack = folder / "legit", folder / "attack"
    chats = [row["prompt"] for row in _lines(legit / "arena_hard_v2.jsonl")]
    tasks = [_task(row) for row in _lines(legit / "user_oriented_instructions.jsonl")]
    assistant: dict[str, list[str]] = {}
    for rows in json.loads((legit / "clinc150.json").read_text()).values():
        for text, topic in rows:
            assistant.setdefault(topic, []).append(text)
    with (legit / "banking77_test.csv").open() as file:
        support: dict[str, list[str]] = {}
        for row in csv.DictReader(file):
            support.setdefault(row["category"], []).append(row["text"])
    with (attack / "stealing_part_lm_prompts.csv").open() as file:
        theft = [row["prompt"] for row in csv.DictReader(file)]
    roleplay = json.loads((attack / "gpteacher_roleplay.json").read_text())
    found = {word.lower() for text in chats + tasks for word in text.split() if word.isalpha() and word.isascii()}
    with gzip.open(folder / "ambiguous" / "human_eval.jsonl.gz", "rt") as file:
        coding = [json.loads(line)["prompt"] for line in file]
    return Corpus(
        chats=chats,
        tasks=tasks,
        dialogues=[row["turns"] for row in _lines(legit / "mt_bench.jsonl")],
        assistant=assistant,
        support=support,
        words=sorted(word for word in found if 2 < len(word) < 12),
        distillation=[f"{row['instruction']}\n{row['input']}".strip() for row in roleplay],
        theft=theft,
        seed_tasks=[_task(row) for row in _lines(attack / "self_instruct_seed_tasks.jsonl")],
        benchmark=coding,
        published={path.stem: [row["prompt"] for row in _lines(path)] for path in sorted(attack.glob("t0_*.jsonl"))},
    )


def made_up(seed: int) -> Corpus:
    """Made-up texts of phrases by Zipf's law, of many lengths and topics: like people's, they repeat pairs of words."""
    source = random.Random(seed)
    words = [f"word{i}" for i in range(3000)]
    phrases = [f"{source.choice(COMMON_WORDS)} {source.choice(words)}" for _ in range(2000)]
    phrases += [f"{source.choice(words)} {source.choice(COMMON_WORDS)} {source.choice(words)}" for _ in range(2000)]
    source.shuffle(phrases)
    weights = [1 / (place + 20) for place in range(len(phrases))]

    def text(count: int, pool: Sequence[str] = (), share: float = 0.0) -> str:
        said = source.choices(phrases, weights, k=max(1, count))
        return " ".join(source.choice(pool) if pool and source.random() < share else phrase for phrase in said)

    def topics(count: int, size: int) -> dict[str, list[str]]:
        pools = [source.choices(phrases, weights, k=40) for _ in range(count)]
        return {f"t{i}": [text(source.randint(2, 6), pool, 0.5) for _ in range(size)] for i, pool in enumerate(pools)}

    chats = [text(int(source.lognormvariate(3.2, 0.8)) + 3) for _ in range(700)]
    return Corpus(
        chats=chats,
        tasks=[text(source.randint(10, 60)) for _ in range(250)],
        dialogues=[[text(source.randint(8, 30)), text(source.randint(3, 10))] for _ in range(80)],
        assistant=topics(40, 120),
        support=topics(30, 60),
        words=words,
    )


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().split("\n") if line.strip()]


def _task(row: Mapping[str, object]) -> str:
    instances = row["instances"]
    assert isinstance(instances, list)
    return f"{row['instruction']}\n{instances[0]['input']}".strip()
