"""A classifier's answers through the application: reduced, alike in shape, charged."""

from collections.abc import Sequence
from typing import Any

import pytest

from llmguard.outputs.privacy import held
from llmguard.outputs.scores import STEPS
from llmguard.wire.pooling import Classification, Classifications, ClassifyRequest, PoolingAnswer, PoolingRequest, texts
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import Guarded
from tests.serving import OTHER_KEY

pytestmark = pytest.mark.anyio

PATH = "/v1/classify"
PROBS = [0.07, 0.61, 0.32]
LABELS = ("red", "green", "blue")
LEVELS = ("label", "bucket", "rounded", "full")


class Classifier(FakeUpstream):
    """An upstream that says the same of every text."""

    def __init__(self, probs: Sequence[float] = PROBS) -> None:
        super().__init__()
        self.probs = probs

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """Its own label, and full scores."""
        self.pooled.append(request)
        data = [
            Classification(index=index, label="own", probs=list(self.probs), num_classes=len(self.probs))
            for index in range(len(texts(request)))
        ]
        return Classifications(id="upstream-id", model="vendor", data=data)


def guarded(*, labels: Sequence[str] = (), probs: Sequence[float] = PROBS, **outputs: Any) -> Guarded:
    """The application with two names for one classifier, for alice and bob."""
    model = {"task": "classify", "upstream": "fake", "model": "m", "labels": list(labels)}
    policies = {name: {"outputs": outputs} for name in ("public", "narrow")}
    changes: dict[str, Any] = {"mode": outputs.pop("mode", "enforce")}
    return Guarded(Classifier(probs), models={"c": model, "alias": model}, policies=policies, **changes)


async def asked(guard: Guarded, *inputs: str, model: str = "c", **options: Any) -> FakeClient:
    return await guard.ask(PATH, {"model": model, "input": inputs[0] if len(inputs) == 1 else list(inputs)}, **options)


def told(client: FakeClient) -> list[tuple[Any, list[float]]]:
    assert client.status == 200
    return [(item["label"], item["probs"]) for item in client.json["data"]]


async def test_a_label_is_told_alone_by_default() -> None:
    guard = guarded()
    client = await asked(guard, "a text")
    assert client.json["data"] == [{"index": 0, "label": "own", "probs": [0.0, 1.0, 0.0], "num_classes": 3}]
    assert client.json["object"] == "list"
    assert client.json["model"] == "c"
    assert client.json["id"].startswith("classify-")
    assert "upstream-id" not in client.body.decode()
    assert "vendor" not in client.body.decode()


async def test_without_the_control_the_scores_leave_as_they_are() -> None:
    guard = Guarded(
        Classifier(), models={"c": {"task": "classify", "upstream": "fake", "model": "m"}}, without=["scores"]
    )
    assert told(await asked(guard, "a text")) == [("own", PROBS)]


@pytest.mark.parametrize("probs", [PROBS, [1.0, 0.0, 0.0], [0.34, 0.33, 0.33]])
async def test_every_level_has_one_shape(probs: list[float]) -> None:
    for level in LEVELS:
        (item,) = (await asked(guarded(probs=probs, scores=level), "a text")).json["data"]
        assert list(item) == ["index", "label", "probs", "num_classes"]
        assert len(item["probs"]) == item["num_classes"] == 3
        assert all(type(value) is float for value in item["probs"])
        assert sum(item["probs"]) == pytest.approx(1)


async def test_levels_tell_what_they_say() -> None:
    assert told(await asked(guarded(scores="full"), "t")) == [("own", PROBS)]
    assert told(await asked(guarded(scores="full", top_k=2), "t")) == [
        ("own", [0.0, pytest.approx(0.61 / 0.93), pytest.approx(0.32 / 0.93)])
    ]
    ((_, rounded),) = told(await asked(guarded(scores="rounded"), "t"))
    assert [round(value * 10) / 10 for value in rounded] == rounded
    ((_, bucket),) = told(await asked(guarded(scores="bucket"), "t"))
    assert max(bucket) in STEPS


async def test_asking_again_under_another_key_or_name_tells_the_same() -> None:
    guard = guarded(scores="rounded")
    first = told(await asked(guard, "a text"))
    guard.clock.advance(1e6)
    assert told(await asked(guard, "a text")) == first
    assert told(await asked(guard, "a text", key=OTHER_KEY)) == first
    assert told(await asked(guard, "a text", model="alias")) == first
    assert told(await asked(guard, "a text", "other", "a text"))[::2] == first * 2


async def test_a_label_changed_by_chance_has_its_name_only_from_the_settings() -> None:
    texts = [f"text {number}" for number in range(60)]
    near = [0.02, 0.5, 0.48]
    unnamed = told(await asked(guarded(probs=near, smoothing=2.0), *texts))
    assert {label for label, _ in unnamed} == {None}
    named = told(await asked(guarded(probs=near, smoothing=2.0, labels=LABELS), *texts))
    assert {label for label, _ in named} == {"green", "blue"}
    assert all(probs[LABELS.index(label)] == 1.0 for label, probs in named)
    assert [probs for _, probs in named] == [probs for _, probs in unnamed]


async def test_other_classes_than_the_settings_name_are_not_told() -> None:
    client = await asked(guarded(labels=("yes", "no")), "t")
    assert (client.status, client.error["code"]) == (500, "internal_error")


async def test_what_is_no_probability_is_not_told() -> None:
    client = await asked(guarded(probs=[7.1, -3.2]), "t")
    assert (client.status, client.error["code"]) == (500, "internal_error")


async def test_the_texts_and_no_user_go_upstream() -> None:
    guard = guarded()
    await guard.ask(PATH, {"model": "c", "input": ["a", "b"], "user": "u"})
    assert guard.upstream.pooled == [ClassifyRequest(model="m", input=["a", "b"])]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"model": "c", "input": "a", "activation": False}, "unknown_parameter", "activation"),
        ({"model": "c", "input": [1, 2]}, "invalid_value", "input"),
        ({"model": "c", "input": []}, "invalid_value", "input"),
        ({"model": "nobody", "input": "a"}, "model_not_found", "model"),
    ],
)
async def test_what_is_no_question_is_refused(body: dict[str, Any], code: str, param: str) -> None:
    client = await guarded().ask(PATH, body)
    assert client.error["code"] == code
    assert client.error["param"].startswith(param)


async def test_a_chat_model_labels_nothing() -> None:
    client = await Guarded().ask(PATH, {"model": "chat", "input": "a"})
    assert (client.status, client.error["param"]) == (400, "model")


# --- private labels ------------------------------------------------------------------------------

PRIVATE = {"epsilon": 2.0, "budget": 8.0, "delta": 0.0}


async def test_private_labels_are_drawn_and_stay_as_they_were() -> None:
    guard = guarded(labels=LABELS, privacy={**PRIVATE, "budget": 1000.0})
    texts = [f"text {number}" for number in range(200)]
    first = told(await asked(guard, *texts))
    assert {label for label, _ in first} == set(LABELS)
    # e^2 / (e^2 + 2) = 0.79, and four standard deviations of 200.
    assert sum(label == "green" for label, _ in first) / 200 == pytest.approx(0.79, abs=0.12)
    assert told(await asked(guard, *texts, key=OTHER_KEY)) == first


async def test_the_budget_is_a_users_and_a_repeat_is_free() -> None:
    assert held(2.0, 8.0, 0.0) == 4
    guard = guarded(privacy=PRIVATE)
    assert (await asked(guard, "a", "b", "c")).status == 200
    for _ in range(3):
        assert (await asked(guard, "b", "a")).status == 200
    assert (await asked(guard, "c", "d")).status == 200
    client = await asked(guard, "e")
    assert (client.status, client.error["code"], client.error["param"]) == (429, "insufficient_quota", "input")
    assert client.headers["x-should-retry"] == "false"
    assert client.error["message"] == "Limit reached: 4 labels of different texts per user."
    assert (await asked(guard, "d")).status == 200
    assert (await asked(guard, "e", key=OTHER_KEY)).status == 200
    guard.clock.advance(1e7)
    assert (await asked(guard, "e")).status == 429


async def test_a_text_in_other_spelling_is_another_and_a_model_by_another_name_is_not() -> None:
    guard = guarded(privacy=PRIVATE)
    assert (await asked(guard, "a", "A", "a ", "b")).status == 200
    assert (await asked(guard, "a", model="alias")).status == 200
    assert (await asked(guard, "a.")).status == 429


async def test_a_window_gives_it_back() -> None:
    guard = guarded(privacy={**PRIVATE, "every": "1h"})
    assert (await asked(guard, *"abcd")).status == 200
    client = await asked(guard, "e")
    assert client.status == 429
    assert 0 < float(client.headers["retry-after-ms"]) <= 3_600_000
    guard.clock.advance(4000.0)
    assert (await asked(guard, "e")).status == 200


async def test_more_texts_than_the_budget_are_never_served_and_cost_nothing() -> None:
    guard = guarded(privacy=PRIVATE)
    assert (await asked(guard, *"abcde")).status == 429
    assert not guard.upstream.pooled
    assert (await asked(guard, *"abcd")).status == 200


async def test_observe_notes_it() -> None:
    guard = guarded(privacy=PRIVATE, mode="observe")
    assert (await asked(guard, *"abcdefgh")).status == 200
    assert (await asked(guard, "i")).status == 200


async def test_a_store_that_cannot_be_reached_refuses() -> None:
    guard = guarded(privacy=PRIVATE)
    guard.store.counters.failing = True
    assert (await asked(guard, "a")).status == 503


async def test_nothing_of_a_text_stands_in_the_store() -> None:
    guard = guarded(privacy=PRIVATE)
    await asked(guard, "sesame")
    assert "sesame" not in repr(vars(guard.store.counters._ledger))


# --- credits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "price"), [("label", 1), ("bucket", 5), ("rounded", 5), ("full", 5)])
async def test_a_label_costs_less_than_a_score(level: str, price: int) -> None:
    model = {"task": "classify", "upstream": "fake", "model": "m"}
    limits = [{"per": "user", "of": "credits", "limit": 20}]
    guard = Guarded(
        Classifier(),
        models={"c": model},
        policies={"public": {"outputs": {"scores": level}, "limits": limits}, "narrow": {}},
    )
    served = 0
    while (await asked(guard, "a", "b")).status == 200:
        served += 2
    assert served == 20 // price
