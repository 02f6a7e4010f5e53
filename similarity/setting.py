"""How much a similarity answer may say."""

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Content(StrEnum):
    """Whether a search returns the items' texts."""

    RETURNED = "returned"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One store's setting. Every field trades leak against use; the leak is that of one item to one cluster.

    `edges`: the borders of the score buckets, which are all of a score that is told. Five buckets
    instead of exact scores take the vector recovered from 96 random known texts (d = 384) from a cosine
    of .47 to .30, from 384 texts from 1.0 to .52. A hidden store tells every other border only (`borders`), and its
    lowest bucket not at all: what scores there is not found, which is what keeps questions of another domain from
    finding anything. With all-MiniLM-L6-v2, 2,500 questions of another domain recover .50 of a random item's vector
    without that floor, .50 with one at .3, .39 at .35 and .26 at .4; the nearest of them that finds the item is itself
    at .33 of .39. The floor costs what lies below it: of the relevant among the ten best, nothing on banking77,
    3.4 % on CLINC150 in a store of 2,000.

    Where the texts are returned, buckets protect little: the order is exact, and a student of letters trained on
    1,000, 5,000 and 15,000 scores agrees with the encoder on other questions (rank correlation) by .44, .60 and .65,
    with exact scores by .44, .61 and .65, untaught by .42. Credits are what bounds it. Pairs are told better by
    exact scores: 11 and 22 % of the pairs of 300 texts tell the rest by .77 and .90, in buckets by .46 and .60.

    `dither`: all scores of a question move by up to so much, keyed by cluster and question, before they are
    put in buckets. It hides where the borders lie, so that varying a question finds a score no more finely than
    ± `dither`, short of averaging over m distinct questions (± `dither` / √3m), which `lifetime` bounds.

    `lifetime`: the distinct questions that may score one hidden item. Whatever the buckets, m scores show
    no more than the vector's shadow on m known directions: a cosine of √(m/d) at most for isotropic
    ones (`bound`), so 16 of 384 give .2 at most. Questions of the store's own domain are not isotropic: the
    nearest that finds an item is itself at .75 of it (CLINC150), and what 2,500 of them recover lies above that
    by .07 after 96 scores of four told buckets, by .04 after 16, by .02 [.00, .04] after 16 of two. Places in the
    answers, which stay exact until then, give as much by themselves.

    `top_k`: results of one answer. Each find says that the item is near the question: nothing hides that.

    `same_question`: at this cosine to an earlier question of the cluster, a question is a
    paraphrase, and gets the earlier one's answer, free. 1.0: exact repeats alone.

    `one_length`: an answer says how many blank rows it lacks, so that its length tells nothing.
    """

    content: Content = Content.RETURNED
    edges: tuple[float, ...] = (0.35, 0.5, 0.65, 0.8)
    dither: float = 0.05
    lifetime: int = 16
    top_k: int = 10
    same_question: float = 0.95
    one_length: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a setting that no answer can follow."""
        if not self.edges or any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges rise")
        if not -1 < self.edges[0] <= self.edges[-1] < 1:
            raise ValueError("edges lie between -1 and 1")
        if self.dither < 0 or self.lifetime < 0 or self.top_k < 1 or not 0 < self.same_question <= 1:
            raise ValueError("dither and lifetime are 0 or more, top_k 1 or more, same_question in (0, 1]")

    @property
    def borders(self) -> tuple[float, ...]:
        """The edges that count: in a hidden store the first, the third, and so on."""
        return self.edges[::2] if self.content is Content.HIDDEN else self.edges


def told(bucket: int, edges: tuple[float, ...]) -> float:
    """The one score that a bucket is told as: its middle; of the outer ones, half-way to 0 and to 1."""
    if bucket == 0:
        middle = min(edges[0] / 2, edges[0] - abs(edges[0]) / 2)
    elif bucket == len(edges):
        middle = (edges[-1] + 1) / 2
    else:
        middle = (edges[bucket - 1] + edges[bucket]) / 2
    return round(middle, 9)  # .725, which binary numbers make .7250000000000001


def bound(scored: int, dimensions: int) -> float:
    """The cosine between a vector and the best estimate of it from `scored` exact scores of known isotropic texts.

    The estimate lies in the span of the known directions. For a vector without a preferred direction the squared
    length of its shadow on m of d dimensions has mean m/d (Beta(m/2, (d-m)/2)), so the root of it bounds the mean
    cosine (Jensen), with equality for least squares up to the spread of that Beta.
    """
    return math.sqrt(min(1.0, scored / dimensions))


def averaged(scored: int, dimensions: int, fidelity: float) -> float:
    """The cosine that averaging gives: the sum of known texts, each weighted by what was told of its score.

    `fidelity` is the correlation r between what is told and the score: signal m·r/√d against noise √m, so
    r√(m/d) / √(1 + r²·m/d).
    """
    signal = fidelity**2 * scored / dimensions
    return math.sqrt(signal / (1 + signal))
