"""Training a substitute on what a classifier answers: attackers, each with a number of questions to spend.

An attacker asks, makes targets of the answers, and fits kernel ridge regression to them, choosing its width and ridge
by leaving each target out in turn. How well it did is the share of fresh inputs that it labels as the victim does.

plain      every question is another input
averaging  each input is asked four times, in other spelling, and the answers are averaged
smoothing  each input is asked with two near ones, and the three answers are averaged
denoising  shadow models are trained on the answers; what they say, reduced in the same way under another key, teaches
           a map from reduced answers back to full ones (D-DAE, Chen et al. 2023)
bayes      the mean of what shadow models say of an input, of those that would be told as it was (the partial Bayes
           attack of ModelGuard, Tang et al. 2024)
clustering inputs that the attacker has anyway are parted into as many clusters as there are questions, the most central
           of each is asked about, and what is told of it holds for its cluster
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from llmguard.outputs.noise import Noise
from llmguard.outputs.scores import Reduction, told

Floats: TypeAlias = NDArray[np.float64]
Texts: TypeAlias = Sequence[str]
Ask: TypeAlias = Callable[[Texts], Awaitable[Floats]]
"""Answers [texts, classes], for one question a text."""

WIDTHS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
RIDGES: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MOST_TUNED: Final = 600
SHADOWS: Final = 8
FLOOR: Final = 1e-38
"""The least probability: of a float32, as classifiers tell them; of shadow models, which are no classifiers, LEAST."""
LEAST: Final = 1e-3
REPEATS: Final = 4


@dataclass(frozen=True, slots=True)
class Victim:
    """A real classifier of texts.

    `say` gives full scores [texts, classes], `see` the features [texts, d] that anybody can make of a text. `fresh`
    draws inputs to ask about, `pool` inputs that an attacker has and need not ask about; `near` another input close to
    one, `respelled` one that means exactly the same, the k-th of them; `held` are the inputs that substitutes are
    judged by.
    """

    say: Callable[[Texts], Floats]
    see: Callable[[Texts], Floats]
    fresh: Callable[[int, np.random.Generator], list[str]]
    pool: Callable[[np.random.Generator], list[str]]
    near: Callable[[str, np.random.Generator], str]
    respelled: Callable[[str, int], str]
    held: Texts


def digits(held: int = 600) -> Victim:
    """A neural network that reads handwritten digits, 64 numbers from 0 to 16 a text; it knows 500 of them.

    What is asked is other digits, and mixtures of two where those do not go round.
    """
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    network = MLPClassifier((64,), solver="lbfgs", alpha=1e-2, max_iter=400, random_state=0)
    network.fit(images[:500] / 16, labels[:500])
    others = images[500 + held :]

    def text(image: Floats) -> str:
        return " ".join(str(int(value)) for value in np.rint(image))

    def see(texts: Texts) -> Floats:
        return np.array([text.split() for text in texts], np.float64) / 16

    def fresh(count: int, random: np.random.Generator) -> list[str]:
        plain = others[random.permutation(len(others))[:count]]
        first, second = (others[random.integers(len(others), size=count - len(plain))] for _ in range(2))
        share = random.uniform(0, 0.5, (len(first), 1))
        return [text(image) for image in (*plain, *((1 - share) * first + share * second))]

    def near(one: str, random: np.random.Generator) -> str:
        return text(np.clip(see([one])[0] * 16 + random.normal(0, 1, 64), 0, 16))

    return Victim(
        say=lambda texts: np.asarray(network.predict_proba(see(texts))),
        see=see,
        fresh=fresh,
        pool=lambda random: fresh(len(others), random),
        near=near,
        respelled=lambda one, k: one.replace(" ", "  ", k),
        held=[text(image) for image in images[500 : 500 + held]],
    )


# --- a substitute ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fit:
    """How wide the kernel is, and how strong the ridge."""

    width: float
    ridge: float


def tuned(seen: Floats, targets: Floats) -> Fit:
    """What misses the targets [n, classes] of inputs [n, d] least where each is left out in turn; of MOST_TUNED.

    The miss of an input left out is its weight over its place on the inverse's diagonal (Rasmussen and Williams 2006,
    equation 5.12), so that no fit is made anew.
    """
    seen, targets = seen[:MOST_TUNED], targets[:MOST_TUNED]
    squares, around = distances(seen, seen), targets - targets.mean(axis=0)
    middle = float(np.median(squares)) or 1.0
    best, chosen = np.inf, Fit(middle, RIDGES[0])
    for width in WIDTHS:
        # One decomposition serves every ridge.
        values, vectors = np.linalg.eigh(np.exp(-squares / (middle * width)))
        for ridge in RIDGES:
            inverse = (vectors / (values + ridge)) @ vectors.T
            missed = float((((inverse @ around) / np.diag(inverse)[:, None]) ** 2).sum())
            if missed < best:
                best, chosen = missed, Fit(middle * width, ridge)
    return chosen


def substitute(seen: Floats, targets: Floats, fit: Fit) -> Callable[[Floats], Floats]:
    """Kernel ridge regression, as a function of other features."""
    mean = targets.mean(axis=0)
    kernel = np.exp(-distances(seen, seen) / fit.width)
    weights = np.linalg.solve(kernel + fit.ridge * np.eye(len(seen)), targets - mean)

    def says(other: Floats) -> Floats:
        found: Floats = np.exp(-distances(other, seen) / fit.width) @ weights + mean
        return found

    return says


def distances(first: Floats, second: Floats) -> Floats:
    """Squared distances of all pairs."""
    found: Floats = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    return np.maximum(found, 0.0)


def logits(probs: Floats) -> Floats:
    """Log-probabilities, centred: what a softmax was made of."""
    found: Floats = np.log(np.maximum(probs, FLOOR))
    return found - found.mean(axis=1, keepdims=True)


def shares(values: Floats) -> Floats:
    """Probabilities of what a substitute says."""
    kept = np.clip(values, LEAST, None)
    found: Floats = kept / kept.sum(axis=1, keepdims=True)
    return found


# --- attackers: what to ask, and what to make of it ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spoils:
    """Inputs and what to train a substitute on."""

    texts: Texts
    targets: Floats


Attacker: TypeAlias = Callable[[Victim, Ask, int, Reduction, np.random.Generator], Awaitable[Spoils]]


async def plain(victim: Victim, ask: Ask, budget: int, how: Reduction, random: np.random.Generator) -> Spoils:
    """Ask; where scores are full, learn what the softmax was made of."""
    texts = victim.fresh(budget, random)
    answers = await ask(texts)
    return Spoils(texts, logits(answers) if how.scores == "full" else answers)


async def averaging(victim: Victim, ask: Ask, budget: int, how: Reduction, random: np.random.Generator) -> Spoils:
    """Ask each in four spellings."""
    texts = victim.fresh(max(1, budget // REPEATS), random)
    answers = await ask([victim.respelled(text, k) for text in texts for k in range(REPEATS)])
    return Spoils(texts, answers.reshape(len(texts), REPEATS, -1).mean(axis=1))


async def smoothing(victim: Victim, ask: Ask, budget: int, how: Reduction, random: np.random.Generator) -> Spoils:
    """Ask each and two near it."""
    texts = victim.fresh(max(1, budget // 3), random)
    answers = await ask([one for text in texts for one in (text, *(victim.near(text, random) for _ in range(2)))])
    return Spoils(texts, answers.reshape(len(texts), 3, -1).mean(axis=1))


async def denoising(victim: Victim, ask: Ask, budget: int, how: Reduction, random: np.random.Generator) -> Spoils:
    """Learn from shadow models what a reduced answer stands for, and put it in the answer's place."""
    texts = victim.fresh(budget, random)
    answers = await ask(texts)
    shadows = shadowed(victim.see(texts), answers, random)
    clean = np.concatenate(shadows)
    reduced = np.concatenate([reduction(shadow, texts, how, bytes([place])) for place, shadow in enumerate(shadows)])
    back = nearest(reduced, logits(clean))
    return Spoils(texts, back(answers))


async def bayes(victim: Victim, ask: Ask, budget: int, how: Reduction, random: np.random.Generator) -> Spoils:
    """Of each input, the mean of what shadow models say that would be told as it was."""
    texts = victim.fresh(budget, random)
    answers = await ask(texts)
    shadows = np.array(shadowed(victim.see(texts), answers, random))
    again = [reduction(shadow, texts, how, bytes([place])) for place, shadow in enumerate(shadows)]
    alike = np.array([np.abs(one - answers).max(axis=1) < 0.05 for one in again], np.float64)[:, :, None]
    # Half a voice for the answer itself: it stands alone where no shadow would be told like it.
    mean = ((alike * shadows).sum(axis=0) + 0.5 * answers) / (alike.sum(axis=0) + 0.5)
    return Spoils(texts, mean)


async def clustering(victim: Victim, ask: Ask, budget: int, how: Reduction, random: np.random.Generator) -> Spoils:
    """Ask about the middles of clusters; full scores, which tell more than a cluster has in common, stay theirs."""
    pool = victim.pool(random)
    seen = victim.see(pool)
    clusters = KMeans(budget, n_init=1, random_state=int(random.integers(1 << 31))).fit(seen)
    middles = distances(clusters.cluster_centers_, seen).argmin(axis=1)
    texts = [pool[place] for place in middles]
    answers = await ask(texts)
    if how.scores == "full":
        return Spoils(texts, logits(answers))
    return Spoils(pool, answers[clusters.labels_])


def shadowed(seen: Floats, answers: Floats, random: np.random.Generator) -> list[Floats]:
    """What substitutes trained on resamples say of the very inputs, as probabilities."""
    fit = tuned(seen, answers)
    chosen = [random.integers(len(seen), size=len(seen)) for _ in range(SHADOWS)]
    return [shares(substitute(seen[rows], answers[rows], fit)(seen)) for rows in chosen]


def reduction(probs: Floats, texts: Texts, how: Reduction, key: bytes) -> Floats:
    """What would be told of these probabilities; all but the key is known to everybody."""
    return np.array(
        [told(row.tolist(), how, Noise(key * 32, text)).probs for row, text in zip(probs, texts, strict=True)]
    )


def nearest(told_: Floats, clean: Floats, most: int = 16) -> Callable[[Floats], Floats]:
    """The mean of what the most alike answers stood for."""

    def back(answers: Floats) -> Floats:
        order = np.argsort(distances(answers, told_), axis=1, kind="stable")[:, :most]
        found: Floats = clean[order].mean(axis=1)
        return found

    return back


ATTACKERS: Final[dict[str, Attacker]] = {
    "plain": plain,
    "averaging": averaging,
    "smoothing": smoothing,
    "denoising": denoising,
    "bayes": bayes,
    "clustering": clustering,
}


async def agreement(
    victim: Victim, ask: Ask, attacker: str, budget: int, how: Reduction, random: np.random.Generator
) -> NDArray[np.bool_]:
    """For each held input, whether the substitute that so many questions buy labels it as the victim does."""
    spoils = await ATTACKERS[attacker](victim, ask, budget, how, random)
    seen = victim.see(spoils.texts)
    says = substitute(seen, spoils.targets, tuned(seen, spoils.targets))
    found: NDArray[np.bool_] = says(victim.see(victim.held)).argmax(axis=1) == victim.say(victim.held).argmax(axis=1)
    return found


def interval(agreed: Floats, random: np.random.Generator, times: int = 2000) -> tuple[float, float]:
    """The middle 95 % of means of resamples of both attacks and held inputs [attacks, held]."""
    attacks, held = agreed.shape
    means = [
        agreed[np.ix_(random.integers(attacks, size=attacks), random.integers(held, size=held))].mean()
        for _ in range(times)
    ]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
