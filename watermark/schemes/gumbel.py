"""Gumbel-max (Aaronson 2022), in the formats of vLLM and SGLang, with one key and with two.

The token is argmax log p_v - log(-log u_v): over random keys, exactly a draw from p. Its score is
-log(1 - u), a standard exponential on unmarked text.
"""

from dataclasses import dataclass

import numpy as np

from watermark.ngrams import NONE, States, Tokens, identities
from watermark.prf import murmur3, philox
from watermark.scheme import Floats, Keys, drawn
from watermark.statistics.tails import log_gamma_tail, log_weighted_gamma_tail

ACCESS = "the distribution after temperature, top-k and top-p, and the choice of the token"
DISTORTION = "none over random keys for the first use of a context"
FEW = 6
"""Up to so many tokens are hashed one by one in Python's integers, which is quicker than as an array."""
SOME = 1 / 8
"""Below this share of likely tokens it is quicker to hash each than the vocabulary by blocks of four."""
RARE = 1e-5
"""Tokens less than this times as likely as the likeliest are left to chance, all together by one true coin.

They are most of a vocabulary and hardly ever drawn; hashing them would take as long as the rest of sampling.
"""


@dataclass(frozen=True, slots=True)
class Vllm:
    """vLLM's format: Philox over the last `width` tokens of the answer, padded at its start; keys [k, 1].

    The default wherever we sample ourselves: all 64 bits of the key count.
    """

    width: int = 4
    name: str = "gumbel-vllm"
    access: str = ACCESS
    distortion: str = DISTORTION
    null: str = "Gamma(n, 1)"
    prompted: bool = False
    padded: bool = True
    context_once: bool = True

    def states(self, grams: Tokens) -> States:
        """The n-gram itself."""
        return identities(grams)

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """-log(1 - u) [k, n] under keys [k, 1]."""
        return _exponentials(_philox(keys[:, :1], grams))

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The tail of Gamma(n, 1)."""
        return log_gamma_tail(counts, scores)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """The argmax under the key of the likely tokens; by a true coin of their chance, a draw from the rare ones."""
        likely = np.flatnonzero(weights > weights.max() * RARE)
        some = weights[likely]
        if likely.size < weights.size and generator.random() * weights.sum() > some.sum():
            rare = weights.copy()
            rare[likely] = 0.0
            if rare.any():  # Two ways to sum may differ where there is none.
                return drawn(rare, generator)
        return int(likely[_first(some, self._uniforms(key, context, likely, weights.size))])

    def _uniforms(self, key: Keys, context: Tokens, tokens: Tokens, vocabulary: int) -> Floats:
        state = philox.one_context_state(int(key[0]), context.tolist())
        if tokens.size <= FEW:
            return philox.few_uniforms(int(key[0]), state, tokens.tolist()).astype(np.float64)
        if tokens.size < SOME * vocabulary:
            return philox.uniforms(key[0], state, tokens).astype(np.float64)
        return philox.vocabulary(key[0], state, vocabulary)[tokens].astype(np.float64)


@dataclass(frozen=True, slots=True)
class VllmDual:
    """vLLM's format with two keys [k, 2]: each token is marked under the second with chance `weight`, else the first.

    The score is (1 - weight) s_A + weight s_B. Which key marks a token is a true coin's choice.
    """

    width: int = 4
    weight: float = 0.1
    name: str = "gumbel-vllm-dual"
    access: str = ACCESS
    distortion: str = DISTORTION
    null: str = "(1 - weight) Gamma(n, 1) + weight Gamma(n, 1)"
    prompted: bool = False
    padded: bool = True
    context_once: bool = True

    def states(self, grams: Tokens) -> States:
        """The n-gram itself."""
        return identities(grams)

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """The two keys' weighted exponentials [k, n]."""
        first, second = (_exponentials(_philox(keys[:, place : place + 1], grams)) for place in (0, 1))
        return (1 - self.weight) * first + self.weight * second

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The exact tail of the weighted sum."""
        return log_weighted_gamma_tail(counts, scores, self.weight)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """The argmax under the key that the coin names."""
        chosen = 1 if generator.random() < self.weight else 0
        return Vllm(self.width).mark(key[chosen : chosen + 1], weights, context, generator)


@dataclass(frozen=True, slots=True)
class Sglang:
    """SGLang's format: murmur3 over the last `width` tokens, the prompt's included; keys [k, 1].

    Only 32 bits of a key count: see `watermark.prf.murmur3.state`.
    """

    width: int = 4
    name: str = "gumbel-sglang"
    access: str = ACCESS
    distortion: str = DISTORTION
    null: str = "Gamma(n, 1)"
    prompted: bool = True
    padded: bool = False
    context_once: bool = True

    def states(self, grams: Tokens) -> States:
        """The context's hash beside the token: contexts of one hash are one to every key."""
        return _hashed(grams)

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """-log(1 - u) [k, n] under keys [k, 1]."""
        return _exponentials(murmur3.uniforms(keys[:, :1], _contexts(grams[:, :-1]), grams[:, -1]))

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The tail of Gamma(n, 1)."""
        return log_gamma_tail(counts, scores)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """The argmax under the key; no randomness is used."""
        possible = np.flatnonzero(weights)
        uniforms = murmur3.uniforms(key[0], _contexts(context[np.newaxis]), possible)
        return int(possible[_first(weights[possible], uniforms)])


@dataclass(frozen=True, slots=True)
class SglangDual:
    """SGLang's format with a request's key and the server's [k, 2]: a keyed coin gives the first a share `mixing`.

    Who holds both keys knows which one marked each token, so the score is a plain exponential. Who
    holds one detects with `Sglang`, the other's tokens being null terms.
    """

    width: int = 4
    mixing: float = 0.5
    name: str = "gumbel-sglang-dual"
    access: str = ACCESS
    distortion: str = DISTORTION
    null: str = "Gamma(n, 1)"
    prompted: bool = True
    padded: bool = False
    context_once: bool = True

    def states(self, grams: Tokens) -> States:
        """The context's hash beside the token: contexts of one hash are one to every key."""
        return _hashed(grams)

    def terms(self, keys: Keys, grams: Tokens) -> Floats:
        """-log(1 - u) [k, n] under whichever of keys [k, 2] the coin chose."""
        contexts = _contexts(grams[:, :-1])
        first, second = keys[:, :1], keys[:, 1:2]
        taken = np.where(murmur3.chooses_first(first, second, contexts, self.mixing), first, second)
        return _exponentials(murmur3.uniforms(taken, contexts, grams[:, -1]))

    def log_tail(self, counts: Floats, scores: Floats) -> Floats:
        """The tail of Gamma(n, 1)."""
        return log_gamma_tail(counts, scores)

    def mark(self, key: Keys, weights: Floats, context: Tokens, generator: np.random.Generator) -> int:
        """The argmax under the key that the keyed coin names."""
        hashed = _contexts(context[np.newaxis])
        chosen = 0 if bool(murmur3.chooses_first(key[0], key[1], hashed, self.mixing)[0]) else 1
        return Sglang(self.width).mark(key[chosen : chosen + 1], weights, context, generator)


def _philox(keys: Keys, grams: Tokens) -> Floats:
    found = philox.uniforms(keys, philox.context_state(keys, grams[:, :-1]), grams[:, -1])
    return found.astype(np.float64)


def _exponentials(uniforms: Floats) -> Floats:
    np.negative(uniforms, out=uniforms)
    np.log1p(uniforms, out=uniforms)
    np.negative(uniforms, out=uniforms)
    return uniforms


def _first(weights: Floats, uniforms: Floats) -> int:
    # The same order as log p - log(-log u), with one logarithm less.
    return int(np.argmax(np.log(uniforms) / weights))


def _contexts(contexts: Tokens) -> murmur3.Words:
    """The hashes [n] of contexts [n, width]; one that has fewer tokens is hashed as the shorter one it is."""
    found = murmur3.context_hash(contexts)
    lacking = (contexts == NONE).sum(axis=1)
    for count in np.unique(lacking[lacking > 0]):
        found[lacking == count] = murmur3.context_hash(contexts[lacking == count, count:])
    return found


def _hashed(grams: Tokens) -> States:
    contexts = _contexts(grams[:, :-1]).astype(np.uint64)
    return (contexts << np.uint64(32)) | grams[:, -1].astype(np.uint64)
