"""Projection theft: the bare upstream gives up its hidden size and its last layer, the guard neither."""

from typing import Any

import numpy as np
import pytest

from llmguard.decoding.coarse import STEPS, coarse, prompt_of
from llmguard.settings_policies import Decoding
from llmguard.upstreams.embedded.chat_model import ChatModel
from tests.attacks.applications import application, asked
from tests.attacks.projection import BIAS, Floats, LogitOracle, knee, states, stolen

pytestmark = pytest.mark.anyio

HIDDEN = 576
PROMPTS = 660
FEW = 60
"""Questions through the application: each costs a millisecond."""


@pytest.fixture(scope="module")
def last_layer(smollm2: ChatModel) -> tuple[Floats, Floats]:
    """Hidden states, and the head."""
    return states(smollm2, PROMPTS)


@pytest.fixture(scope="module")
def logits(last_layer: tuple[Floats, Floats]) -> Floats:
    """The model's real logits [prompts, vocabulary]."""
    hidden, head = last_layer
    found: Floats = (hidden.astype(np.float32) @ head.T.astype(np.float32)).astype(np.float64)
    return found


@pytest.fixture(scope="module")
def tokens(logits: Floats) -> list[int]:
    """Tokens that the attacker asks about."""
    return np.random.default_rng(2).choice(logits.shape[1], size=PROMPTS + 1, replace=False).tolist()


async def test_the_bare_upstream_gives_up_its_hidden_size_and_its_last_layer(
    logits: Floats, tokens: list[int], last_layer: tuple[Floats, Floats]
) -> None:
    found = await stolen(LogitOracle(logits), PROMPTS, tokens)
    rank, factor = knee(found)
    assert rank == HIDDEN
    assert factor > 100
    # The head's rows, up to a linear map: the right singular vectors span them.
    _, _, right = np.linalg.svd(found, full_matrices=False)
    head = last_layer[1]
    wanted = (head[tokens[1:]] - head[tokens[0]]).T
    projected = wanted @ right[:HIDDEN].T @ right[:HIDDEN]
    assert np.linalg.norm(wanted - projected) / np.linalg.norm(wanted) < 1e-3


def question(number: int, **fields: Any) -> dict[str, Any]:
    """One of the attack's requests, as a client sends it."""
    messages = [{"role": "user", "content": f"prompt {number}"}]
    return {"model": "chat", "messages": messages, "max_tokens": 1, **fields}


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        ({}, {"logprobs": True, "top_logprobs": 20}),
        ({}, {"logit_bias": {"5": BIAS, "6": BIAS}}),
        ({"logprobs": "coarse", "logit_bias": "allow"}, {"logprobs": True, "logit_bias": {"5": BIAS, "6": BIAS}}),
        ({"logprobs": "allow", "logit_bias": "allow"}, {"logprobs": True, "logit_bias": {"5": BIAS, "6": BIAS}}),
    ],
)
async def test_the_attacks_questions_are_refused(
    logits: Floats, policy: dict[str, Any], fields: dict[str, Any]
) -> None:
    client = await asked(application(LogitOracle(logits), **policy), question(0, **fields))
    assert (client.status, client.error["code"]) == (400, "parameter_not_allowed")


async def test_alternatives_that_are_granted_are_five_steps_of_five_tokens(logits: Floats) -> None:
    oracle = LogitOracle(logits)
    bare = await asked(application(oracle, without=["decoding", "logits"]), question(0, logprobs=True, top_logprobs=20))
    (token,) = bare.json["choices"][0]["logprobs"]["content"]
    assert len({other["logprob"] for other in token["top_logprobs"]}) == 20
    app = application(oracle, logprobs="coarse")
    for number in range(FEW):
        client = await asked(app, question(number, logprobs=True, top_logprobs=20))
        (token,) = client.json["choices"][0]["logprobs"]["content"]
        assert len(token["top_logprobs"]) == 5
        assert {token["logprob"], *(other["logprob"] for other in token["top_logprobs"])} <= set(STEPS)


def test_coarse_values_of_any_token_one_likes_would_have_none_either(logits: Floats, tokens: list[int]) -> None:
    """More than any policy grants: a coarse value for every prompt and every token, biased to where it is exact."""
    key = b"k" * 32
    values = logits[:, tokens[1:]]
    middle = values - np.median(values, axis=1, keepdims=True)
    assert knee(middle)[0] == HIDDEN + 1  # the middle is one more direction
    names = [str(token) for token in tokens[1:]]
    told = np.array(
        [
            [coarse(float(value) - 1.5, key, prompt, name) for value, name in zip(row, names, strict=True)]
            for row, prompt in zip(middle, (prompt_of(f"prompt {row}") for row in range(PROMPTS)), strict=True)
        ]
    )
    singular = np.linalg.svd(told, compute_uv=False)
    around = singular[HIDDEN - 20 : HIDDEN + 20]
    steps = around[:-1] / around[1:]
    assert steps[18:21].max() < 1.05
    assert knee(told)[0] not in (HIDDEN, HIDDEN + 1)


def test_a_days_biased_tokens_are_fewer_than_the_hidden_size() -> None:
    """A matrix of so few columns has no rank to tell, whatever is learnt of each from sampled text."""
    assert Decoding().max_biased_tokens < HIDDEN
