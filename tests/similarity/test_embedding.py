"""Batching: everyone gets their own vectors, and load makes batches larger."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future

import numpy as np
import pytest

from similarity.embedding import Batches, Overloaded
from similarity.vectors import Vectors, unit


class Model:
    """Vectors that tell texts apart; it waits where `gate` is shut."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.gate.set()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        self.begun.set()
        self.gate.wait(10)
        if "bad" in texts:
            raise RuntimeError("the model failed")
        return vectors_of(texts)


def vectors_of(texts: Sequence[str]) -> Vectors:
    return np.array([[len(text), sum(map(ord, text)), 1] for text in texts], np.float32)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def batches(model: Model) -> Iterator[Batches]:
    made = Batches(model, batch=4, waiting=10)
    yield made
    model.gate.set()
    made.close()


def busy(model: Model, batches: Batches) -> Future[Vectors]:
    """A batch that runs until the gate opens."""
    model.gate.clear()
    model.begun.clear()
    first = batches.submit(["first"])
    assert model.begun.wait(10)
    return first


def test_what_waits_together_runs_together_and_each_gets_its_own(model: Model, batches: Batches) -> None:
    first = busy(model, batches)
    asked = [["a"], ["b", "cc"], ["d"], ["e"]]
    results = [batches.submit(texts) for texts in asked]
    model.gate.set()
    for texts, result in zip([["first"], *asked], [first, *results], strict=True):
        assert np.allclose(result.result(10), unit(vectors_of(texts)))
    assert model.batches == [["first"], ["a", "b", "cc", "d"], ["e"]]


def test_a_request_larger_than_a_batch_is_one(model: Model, batches: Batches) -> None:
    assert batches.submit(list("abcdef")).result(10).shape == (6, 3)
    assert model.batches == [list("abcdef")]


def test_too_much_is_refused_and_what_waits_is_served(model: Model, batches: Batches) -> None:
    busy(model, batches)
    kept = batches.submit(list("abcdefghij"))
    with pytest.raises(Overloaded):
        batches.submit(["k"])
    model.gate.set()
    assert len(kept.result(10)) == 10
    assert len(batches.submit(["k"]).result(10)) == 1


def test_a_cancelled_request_is_not_embedded(model: Model, batches: Batches) -> None:
    busy(model, batches)
    gone, kept = batches.submit(["gone"]), batches.submit(["kept"])
    assert gone.cancel()
    model.gate.set()
    kept.result(10)
    assert ["kept"] in model.batches


def test_a_failure_reaches_those_of_its_batch_alone(model: Model, batches: Batches) -> None:
    with pytest.raises(RuntimeError, match="the model failed"):
        batches.submit(["bad"]).result(10)
    assert len(batches.submit(["good"]).result(10)) == 1


def test_patient_texts_go_one_job_after_each_batch_of_questions(model: Model, batches: Batches) -> None:
    busy(model, batches)
    patient = [batches.submit([f"p{at}"], patient=True) for at in range(3)]
    asked = [batches.submit([f"q{at}"]) for at in range(6)]
    model.gate.set()
    for result in (*patient, *asked):
        result.result(10)
    assert model.batches[1:] == [["p0"], ["q0", "q1", "q2", "q3"], ["p1"], ["q4", "q5"], ["p2"]]


def test_patient_texts_fill_batches_while_nobody_asks(model: Model, batches: Batches) -> None:
    model.gate.clear()
    waiting = [batches.submit(["x", "y"], patient=True)]
    assert model.begun.wait(10)
    waiting += [batches.submit(["x", "y"], patient=True) for _ in range(4)]
    model.gate.set()
    for result in waiting:
        result.result(10)
    assert [len(batch) for batch in model.batches] == [2, 4, 4]


def test_nothing_cannot_be_embedded(batches: Batches) -> None:
    with pytest.raises(ValueError, match="nothing"):
        batches.submit([])


def test_closing_cancels_what_waits(model: Model, batches: Batches) -> None:
    first = busy(model, batches)
    waiting, cancelled = batches.submit(["waiting"]), threading.Event()
    waiting.add_done_callback(lambda _: cancelled.set())
    closing = threading.Thread(target=batches.close)
    closing.start()
    assert cancelled.wait(10)
    model.gate.set()
    closing.join(10)
    assert len(first.result(10)) == 1
    with pytest.raises(CancelledError):
        waiting.result(0)
    with pytest.raises(Overloaded):
        batches.submit(["late"])


def test_an_event_loop_awaits_it(batches: Batches) -> None:
    async def ask() -> list[Vectors]:
        return await asyncio.gather(*(asyncio.wrap_future(batches.submit([text])) for text in "abc"))

    assert [len(vectors) for vectors in asyncio.run(ask())] == [1, 1, 1]


def test_many_threads_at_once_get_their_own(model: Model) -> None:
    batches, wrong = Batches(model, batch=8), []

    def ask(name: str) -> None:
        for at in range(30):
            texts = [name * (at + 1)]
            if not np.allclose(batches.submit(texts).result(10), unit(vectors_of(texts))):
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    batches.close()
    assert wrong == []
