"""Similarity over HTTP with the embedded MiniLM: searches a second, files in, and what the answers give away.

All through the real API of a guard in a process of its own.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from similarity.disclosure import Answer, Shown
from similarity.vectors import Vectors
from tests.benchmarks.process import Process, StartError, running
from tests.benchmarks.report import Report, Row
from tests.benchmarks.similarity_leak import interval
from tests.benchmarks.targets import REPOSITORY
from tests.benchmarks.texts import Absent, Labelled, Model, banking, clinc
from tests.ports import HOST, free_port
from tests.similarity.attack import nearest_question, recovered, regressed

CLIENTS, ITEMS, MORE, PLENTY = 32, 1000, 1000, 10**9
KEYS, HIDDEN_ITEMS, QUESTIONS, CHOSEN = 20, 300, 1500, 40
SPEED_TITLE = f"similarity over HTTP: {CLIENTS} clients, MiniLM in a process beside, one machine for all"
LEAK_TITLE = f"similarity over HTTP: hidden vectors recovered by {KEYS} keys of one tenant"


def run(seconds: int) -> list[Report]:
    """Speed, then the attack, each with a guard of its own."""
    try:
        texts, strange = banking(), clinc(money=False)
    except Absent as absent:
        return [Report(title, missing={"llmguard": str(absent)}) for title in (SPEED_TITLE, LEAK_TITLE)]
    return [measured(SPEED_TITLE, texts, strange, seconds), measured(LEAK_TITLE, texts, strange, 0)]


def measured(title: str, texts: Labelled, strange: Labelled, seconds: int) -> Report:
    """A report, or why there is none; `seconds` of load for the speed, 0 for the attack."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            home, port = Path(scratch), free_port()
            (home / "llmguard.yaml").write_text(json.dumps(settings(home, wide=bool(seconds))))
            command = [sys.executable, "-m", "llmguard", "serve", "--host", HOST, "--port", str(port)]
            command += ["--config", str(home / "llmguard.yaml")]
            env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
            ready = f"http://{HOST}:{port}/health/ready"
            with running(command, ready=ready, directory=home, env=env, within_s=300) as process:
                work = speed(process, port, texts, seconds) if seconds else leak(port, texts, strange)
                rows, failures = asyncio.run(work)
                return Report(title, rows, failures=failures)
    except (StartError, Absent, aiohttp.ClientError) as error:
        return Report(title, failures=[f"llmguard: {error}"])


def settings(home: Path, *, wide: bool) -> dict[str, Any]:
    """The embedded models and keys of one tenant, each another user's; without an end to credits where `wide`."""
    credits = {"search_credits": PLENTY, "reason": "a benchmark of speed"} if wide else {}
    return {
        "secret": "the secret of a benchmark, 32 bytes or more",
        "store": {"url": f"file:{home}/data"},
        "upstreams": {"builtin": {"kind": "embedded"}},
        "models": {
            "smollm2": {"task": "chat", "upstream": "builtin", "model": "smollm2-135m-instruct"},
            "minilm": {"task": "embedding", "upstream": "builtin", "model": "all-minilm-l6-v2"},
        },
        "policies": {"public": {"similarity": credits}},
        "keys": [
            {"id": f"key-{at}", "secret": key(at), "user": f"user-{at}", "tenant": "acme", "policy": "public"}
            for at in range(KEYS)
        ],
    }


def key(at: int) -> str:
    """An API key."""
    return f"lg-key-of-a-benchmark-{at}"


class Client:
    """The API as one client uses it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, method: str, path: str, body: object = None, at: int = 0, **more: Any) -> Any:
        """A request with a key, and its answer; raises for a status other than 200."""
        given = {"json": body} if body is not None else {}
        headers = {"authorization": f"Bearer {key(at)}"}
        async with self._session.request(method, f"/v1{path}", headers=headers, **given, **more) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def upload(self, text: str) -> str:
        """A file's id."""
        form = aiohttp.FormData({"purpose": "assistants"})
        form.add_field("file", text.encode(), filename="a.txt")
        return str((await self.ask("POST", "/files", data=form))["id"])

    async def filled(self, store: str, texts: Sequence[str]) -> tuple[list[str], float]:
        """A file for each text put into a store: their ids, and the seconds until all are found."""
        files = list(await asyncio.gather(*(self.upload(text) for text in texts)))
        start = time.perf_counter()
        path = f"/vector_stores/{store}/file_batches"
        batch = await self.ask("POST", path, {"file_ids": files})
        while batch["file_counts"]["in_progress"]:
            await asyncio.sleep(0.1)
            batch = await self.ask("GET", f"{path}/{batch['id']}")
        return files, time.perf_counter() - start

    async def searching(self, store: str, texts: Sequence[str], seconds: float) -> list[float]:
        """CLIENTS that ask one question after the other: the seconds that each answer took."""
        took: list[float] = []
        end = time.perf_counter() + seconds

        async def one(at: int) -> None:
            while (start := time.perf_counter()) < end:
                text = texts[(at + len(took) * 7) % len(texts)]
                await self.ask("POST", f"/vector_stores/{store}/search", {"query": text}, at % KEYS)
                took.append(time.perf_counter() - start)

        await asyncio.gather(*(one(at) for at in range(CLIENTS)))
        return took


async def speed(process: Process, port: int, texts: Labelled, seconds: int) -> tuple[list[Row], list[str]]:
    """Files in alone, searches alone, both at once."""
    everything = texts.texts
    items, more, asked = everything[:ITEMS], everything[ITEMS : ITEMS + MORE], everything[ITEMS + MORE :]
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(f"http://{HOST}:{port}", timeout=timeout) as session:
        client = Client(session)
        store = (await client.ask("POST", "/vector_stores", {}))["id"]
        before = process.cpu_s()
        _, ingest_s = await client.filled(store, items)
        ingest = row("files alone", [], 0, len(items), ingest_s, process.cpu_s() - before)
        await client.searching(store, asked, 1)
        before = process.cpu_s()
        took = await client.searching(store, asked, seconds)
        alone = row("searches alone", took, seconds, 0, 0, process.cpu_s() - before)
        before = process.cpu_s()
        filling = asyncio.ensure_future(client.filled(store, more))
        took = await client.searching(store, asked, seconds)
        cpu_s = process.cpu_s() - before
        there = (await client.ask("GET", f"/vector_stores/{store}"))["file_counts"]["completed"]
        both = row("both", took, seconds, there - len(items), seconds, cpu_s)
        await filling
    rows = [ingest, alone, both]
    failures = []
    if float(str(both["p99_ms"])) > 2 * float(str(alone["p99_ms"])):
        failures.append("searches take more than twice their p99 while files come in")
    return rows, failures


def row(name: str, took: Sequence[float], seconds: float, chunks: int, chunks_s: float, cpu_s: float) -> Row:
    """A phase's figures; the processor time is the guard's with its model, not the clients'."""
    p50, p99 = (float(np.quantile(took, q)) * 1e3 for q in (0.5, 0.99)) if took else (None, None)
    work = len(took) or chunks
    return {
        "target": f"llmguard, {name}",
        "searches_per_s": len(took) / seconds if seconds else None,
        "p50_ms": p50,
        "p99_ms": p99,
        "chunks_per_s": chunks / chunks_s if chunks_s else None,
        "cpu_ms_each": cpu_s * 1e3 / work if work else None,
    }


async def leak(port: int, texts: Labelled, strange: Labelled) -> tuple[list[Row], list[str]]:
    """Questions of another domain and of the store's own, each to a store that has told nothing yet."""
    model = Model()
    items = list(texts.texts[:HIDDEN_ITEMS])
    vectors = model(items)
    rows: list[Row] = []
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(f"http://{HOST}:{port}", timeout=timeout) as session:
        client = Client(session)
        for name, asked in (
            ("another", strange.texts[:QUESTIONS]),
            ("the store's", texts.texts[HIDDEN_ITEMS : HIDDEN_ITEMS + QUESTIONS]),
        ):
            body = {"metadata": {"llmguard.content": "hidden"}}
            store = (await client.ask("POST", "/vector_stores", body))["id"]
            files, _ = await client.filled(store, items)
            answers = await asked_of(client, store, files, asked)
            # In a thread: a loop that stands still does not hear that a connection was closed meanwhile.
            anchors = await asyncio.to_thread(model, asked)
            rows += await asyncio.to_thread(told, name, anchors, answers, vectors)
    failures = [f"{row['questions_of']} {row['told']}: {row['best']}" for row in rows if broken(row)]
    return rows, failures


async def asked_of(client: Client, store: str, files: list[str], asked: Sequence[str]) -> list[Answer]:
    """Every question's answer, as the attacker keeps it: KEYS take turns, CLIENTS questions at a time."""
    number = {file: at for at, file in enumerate(files)}
    answers: list[Answer] = []
    for start in range(0, len(asked), CLIENTS):
        some = asked[start : start + CLIENTS]
        found = await asyncio.gather(
            *(
                client.ask("POST", f"/vector_stores/{store}/search", {"query": text}, (start + at) % KEYS)
                for at, text in enumerate(some)
            )
        )
        for answer in found:
            rows = tuple(Shown(number[one["file_id"]], one["score"]) for one in answer["data"])
            answers.append(Answer(rows, ()))
    return answers


def told(name: str, anchors: Vectors, answers: Sequence[Answer], items: Vectors) -> list[Row]:
    """Exact scores of the same questions beside what was answered, over items chosen at random."""
    chosen = sorted(np.random.default_rng(3).choice(len(items), CHOSEN, replace=False).tolist())
    exact = [regressed(anchors, (anchors @ items[item]).astype(np.float64), items[item]) for item in chosen]
    each = [recovered(anchors, answers, items, [item]) for item in chosen]
    cosines = {attack: [one[attack] for one in each] for attack in each[0]}
    best = max(cosines, key=lambda attack: float(np.mean(cosines[attack])))
    nearest = [nearest_question(anchors, answers, items, [item]) for item in chosen]
    return [
        line(name, "exact", "least squares", exact, [float((anchors @ items[item]).max()) for item in chosen]),
        line(name, "default", best, cosines[best], nearest),
    ]


def line(name: str, said: str, attack: str, values: list[float], nearest: list[float]) -> Row:
    """A mean with its bootstrap interval."""
    low, high = interval(values)
    return {
        "target": f"llmguard, {name} domain",
        "questions_of": name,
        "told": said,
        "attack": attack,
        "best": float(np.mean(values)),
        "low": low,
        "high": high,
        "nearest_question": float(np.mean(nearest)),
    }


def broken(row: Row) -> bool:
    """Whether a figure is other than promised."""
    best, nearest = float(str(row["best"])), float(str(row["nearest_question"]))
    if row["told"] == "exact":
        return best < 0.99
    return best > (0.45 if row["questions_of"] == "another" else nearest + 0.05)
