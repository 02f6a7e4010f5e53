"""Differential privacy of a told label: randomised response, and how many of them a budget holds.

Randomised response (Warner 1965) is the exponential mechanism whose utility is 1 for the model's label and 0 for
every other. Its normaliser is the same whatever the label, so that it needs no factor of two and gives exactly ε:
no label that the model may have makes what is told more than e^ε times likelier than another.
"""

from math import exp, expm1, lgamma, log, log1p
from typing import Final

MOST: Final = 100_000
"""No budget holds more answers, however small their ε."""


def randomised(label: int, classes: int, epsilon: float, first: float, second: float) -> int:
    """The label itself with probability e^ε / (e^ε + classes - 1), else any other, all alike.

    `first` and `second` are uniform on [0, 1). Drawn by a key from the text, they are the same when it is asked again:
    a repeat is the same release and tells nothing new. To whoever lacks the key they are as good as fresh for every
    other text, so that the guarantee is a computational one, of the label to one text. They must not be shared by
    texts that are alike: of two labels under one draw it would show whether they differ. A paraphrase therefore is
    another answer, and costs another ε. Nothing is said of what the model was trained on.
    """
    others = classes - 1
    if first < 1.0 / (1.0 + others * exp(-epsilon)):
        return label
    chosen = min(int(second * others), others - 1)
    return chosen + (chosen >= label)


def exceeding(answers: int, epsilon: float, budget: float) -> float:
    """The least δ for which so many answers of ε, chosen by whoever asks, are (budget, δ)-private together.

    Randomised response of two outcomes is the worst of all mechanisms of ε; the divergence of its product is a sum
    over how many outcomes speak for the other side (Kairouz, Oh and Viswanath 2015, "The Composition Theorem for
    Differential Privacy", theorem 3.3).
    """
    total, scale = 0.0, answers * (epsilon + log1p(exp(-epsilon)))
    for against in range(answers + 1):
        loss = (answers - 2 * against) * epsilon
        if loss <= budget:
            break
        ways = lgamma(answers + 1) - lgamma(against + 1) - lgamma(answers - against + 1)
        total += exp(ways + (answers - against) * epsilon - scale + log(-expm1(budget - loss)))
    return total


def held(epsilon: float, budget: float, delta: float) -> int:
    """How many answers of ε are (budget, delta)-private together; MOST at most."""
    low, high = 0, 1
    while high < MOST and exceeding(high, epsilon, budget) <= delta:
        low, high = high, high * 2
    high = min(high, MOST + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if exceeding(middle, epsilon, budget) <= delta:
            low = middle
        else:
            high = middle
    return low
