"""Vectors: the bare upstream gives up the encoder and its texts, the reduced endpoint no more than is foretold.

A small encoder of SIZE numbers, with noise that has the weight of DETECTION's in 384: d s² is the same, and with it the
cosine that noise of s leaves, 1 / sqrt(1 + d s²): .71 for .05 of 384, .98 for .01.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import sqrt
from typing import Any

import numpy as np
import pytest

from llmguard.outputs.embeddings.reduction import SHARED
from similarity.vectors import unit
from tests.attacks.inversion import (
    Doubles,
    Encoder,
    Words,
    cosines,
    fitted,
    interval,
    overlaps,
    recognised,
    told,
)
from tests.guarded import Guarded

pytestmark = pytest.mark.anyio

SIZE, PAIRS, SECRETS, CANDIDATES = 96, 600, 150, 600
LOUD = 0.05 * sqrt(384 / SIZE)
TENANTS = 16
REASON = {"reason": "to be attacked"}
ENCODER = Words(SIZE)
KNOWN = ENCODER.texts(PAIRS)
OTHERS = [text for text in ENCODER.texts(PAIRS + CANDIDATES) if text not in set(KNOWN)][:CANDIDATES]
TRUE_KNOWN, TRUE_OTHERS = ENCODER.vectors(KNOWN), ENCODER.vectors(OTHERS)
READ = ENCODER.read(TRUE_OTHERS[:SECRETS], OTHERS[:SECRETS]).mean()
RIGHT = list(range(SECRETS))
"""The attacker's candidates are OTHERS; the first of them are the secret texts."""


def guarded(vectors: dict[str, np.ndarray] | None = None, **granted: Any) -> Guarded:
    """An endpoint under this grant, with a key `t0`, `t1`, … for every tenant, and one more of the first tenant's."""
    known = dict(zip([*KNOWN, *OTHERS], [*TRUE_KNOWN, *TRUE_OTHERS], strict=True))
    keys = [
        {"id": f"t{number}", "secret": f"lg-test-t{number}", "user": f"u{number}", "tenant": f"tenant{number}"}
        for number in range(TENANTS)
    ]
    keys.append({"id": "again", "secret": "lg-test-again", "user": "again", "tenant": "tenant0"})
    grant = {"dimensions": SIZE, **REASON, **granted}
    return Guarded(
        Encoder(known | (vectors or {})),
        without=("embeddings",) if granted.pop("bare", False) else (),
        policies={
            "public": {"endpoints": ["embeddings"], "outputs": {"embeddings": "reduced", "reduced": grant}},
        },
        models={"minilm": {"task": "embedding", "upstream": "fake", "model": "m"}},
        keys=[{**key, "policy": "public"} for key in keys],
    )


def left(noise: float) -> float:
    """The cosine to the truth that noise of this deviation in each number leaves."""
    return 1 / sqrt(1 + SIZE * noise**2)


async def estimates(guard: Guarded, said: Sequence[str], key: str = "lg-test-t0", of: Doubles | None = None) -> Doubles:
    """The attacker's estimates of texts' true vectors, or of those whose answers `of` it has got hold of."""
    seen = await told(guard.app, KNOWN, key=key)
    answers = await told(guard.app, said, key=key) if of is None else of
    return answers @ fitted(seen, TRUE_KNOWN)


@dataclass(frozen=True)
class Figures:
    """Of an attack, by text: cosines of the estimates, which of these are recognised among candidates, what share of a
    text's words is read out of them; and overlap@10 of an honest search."""

    cosine: Doubles
    recognised: Doubles
    words: Doubles
    overlap: Doubles

    def __str__(self) -> str:
        figures = {field.name: getattr(self, field.name) for field in fields(self)}
        bounds = {name: (values.mean(), *interval(values)) for name, values in figures.items()}
        return ", ".join(f"{name} {mean:.3f} [{low:.3f}, {high:.3f}]" for name, (mean, low, high) in bounds.items())


async def attacked(guard: Guarded) -> Figures:
    """The figures of a grant."""
    found = await estimates(guard, OTHERS[:SECRETS])
    honest = await told(guard.app, OTHERS, key="lg-test-t1")
    return Figures(
        cosines(found, TRUE_OTHERS[:SECRETS]),
        recognised(found, TRUE_OTHERS, RIGHT),
        ENCODER.read(found, OTHERS[:SECRETS]),
        overlaps(TRUE_OTHERS, honest, CANDIDATES - SECRETS),
    )


async def test_the_bare_upstream_gives_up_everything() -> None:
    bare = Guarded(
        Encoder(dict(zip(OTHERS, TRUE_OTHERS, strict=True))),
        without=("endpoints", "embeddings"),
        models={"minilm": {"task": "embedding", "upstream": "fake", "model": "m"}},
    )
    seen = await told(bare.app, OTHERS[:SECRETS], key="lg-test-key-of-alice")
    np.testing.assert_allclose(cosines(seen, TRUE_OTHERS[:SECRETS]), 1, atol=1e-5)
    assert recognised(seen, TRUE_OTHERS, RIGHT).mean() == 1
    assert READ > 0.5  # by chance .03


async def test_turned_axes_alone_are_undone_by_as_many_pairs_as_there_are_numbers() -> None:
    guard = guarded(noise=0.005)
    few = (await told(guard.app, KNOWN[: SIZE // 4], key="lg-test-t0")), TRUE_KNOWN[: SIZE // 4]
    secret = await told(guard.app, OTHERS[:SECRETS], key="lg-test-t0")
    assert cosines(secret @ fitted(*few), TRUE_OTHERS[:SECRETS]).mean() < 0.6
    found = await attacked(guard)
    assert found.cosine.mean() > 0.99
    assert found.recognised.mean() == 1
    assert found.words.mean() > 0.8 * READ
    assert found.overlap.mean() > 0.9


@pytest.mark.parametrize(
    ("granted", "foretold"),
    [
        ({"noise": LOUD}, left(LOUD)),
        ({"noise": LOUD / 2.5}, left(LOUD / 2.5)),
        ({"noise": LOUD / 5, "dimensions": SIZE // 3}, sqrt(1 / 3)),
        ({"noise": 0.005, "bits": 1}, sqrt(2 / np.pi)),
    ],
    ids=["noise .05 of 384", "noise .02 of 384", "a third of the numbers", "1 bit"],
)
async def test_regression_on_pairs_falls_to_what_is_foretold(granted: dict[str, Any], foretold: float) -> None:
    found = await attacked(guarded(**granted))
    print(f"{granted}, foretold {foretold:.3f}: {found}")  # what a reader of the test's output gets
    assert foretold - 0.05 < found.cosine.mean() < foretold + 0.04
    assert found.words.mean() < 0.9 * READ
    assert found.overlap.mean() > 0.1  # by chance .02


async def test_repeats_are_not_averaged_away() -> None:
    """Plain noise of .05 would leave .97 after 16 repeats."""
    guard = guarded(noise=LOUD)
    seen = [await told(guard.app, OTHERS[:50], key=key) for key in ("lg-test-t0", "lg-test-again") for _ in range(8)]
    for one in seen:
        np.testing.assert_array_equal(one, seen[0])
    spaced = await told(
        guarded({text.upper() + " !": row for text, row in zip(OTHERS, TRUE_OTHERS, strict=True)}, noise=LOUD).app,
        [text.upper() + " !" for text in OTHERS[:50]],
        key="lg-test-t0",
    )
    np.testing.assert_allclose(spaced, seen[0], atol=1e-6)
    averaged = 1 / sqrt(1 + SIZE * LOUD**2 / 16)
    assert cosines(await estimates(guard, OTHERS[:50]), TRUE_OTHERS[:50]).mean() < left(LOUD) + 0.02 < averaged - 0.2


async def test_other_lengths_of_a_vector_are_no_second_look() -> None:
    guard = guarded(noise=LOUD)
    whole = await told(guard.app, OTHERS[:50], key="lg-test-t0")
    for length in (1, SIZE // 2, SIZE - 1):
        part = await told(guard.app, OTHERS[:50], key="lg-test-t0", dimensions=length)
        np.testing.assert_allclose(part, unit(whole[:, :length]), atol=1e-5)


async def test_paraphrases_average_less_than_noise_by_text_alone_would() -> None:
    """Noise by the text alone falls to 64 paraphrases: .99 of what they have in common."""
    chosen, many = OTHERS[:12], 64
    said = [ENCODER.paraphrases(text, many) for text in chosen]
    rows = [ENCODER.vectors(group) for group in said]
    flat = {
        text: row for group, vectors in zip(said, rows, strict=True) for text, row in zip(group, vectors, strict=True)
    }
    guard = guarded(flat, noise=LOUD)
    answers = await estimates(guard, list(flat))
    middle = unit(np.stack([group.mean(axis=0) for group in rows]))
    through = averaged(answers, many)
    random = np.random.default_rng(3)
    plain = np.stack(list(flat.values())) + LOUD * random.standard_normal((len(flat), SIZE))
    assert cosines(averaged(plain, many), middle).mean() > 0.98
    found = cosines(through, middle).mean()
    print(f"64 paraphrases: {found:.3f}, one text {left(LOUD):.3f}")
    assert found < 0.95


def averaged(rows: Doubles, many: int) -> Doubles:
    """The means of groups of so many rows."""
    found: Doubles = rows.reshape(-1, many, rows.shape[1]).mean(axis=1)
    return found


async def test_tenants_who_put_their_answers_together_stay_below_the_noise_that_they_share() -> None:
    guard = guarded(noise=LOUD)
    each = [await estimates(guard, OTHERS[:SECRETS], f"lg-test-t{number}") for number in range(TENANTS)]
    alone = cosines(each[0], TRUE_OTHERS[:SECRETS]).mean()
    together = cosines(np.mean(each, axis=0), TRUE_OTHERS[:SECRETS]).mean()
    print(f"one tenant {alone:.3f}, {TENANTS} of them {together:.3f}, foretold for all {left(LOUD * SHARED):.3f}")
    assert alone < together < left(LOUD * SHARED) + 0.02
    # Noise of each tenant's own alone would have left this:
    assert together < 1 / sqrt(1 + SIZE * LOUD**2 / TENANTS) - 0.1


async def test_what_a_tenant_learns_does_not_open_anothers_vectors() -> None:
    guard = guarded(noise=0.005)
    leaked = await told(guard.app, OTHERS[:SECRETS], key="lg-test-t1")
    found = await estimates(guard, OTHERS[:SECRETS], "lg-test-t0", of=leaked)
    assert abs(cosines(found, TRUE_OTHERS[:SECRETS]).mean()) < 0.1
    assert recognised(found, TRUE_OTHERS, RIGHT).mean() < 0.05


def test_directions_are_spread_as_the_foretold_figures_assume() -> None:
    spread = np.linalg.svd(TRUE_OTHERS - TRUE_OTHERS.mean(axis=0), compute_uv=False) ** 2
    assert float(spread.sum() ** 2 / (spread**2).sum()) > 0.7 * SIZE
