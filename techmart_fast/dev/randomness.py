"""Random numbers that are the same on every machine: raw integers only, no floating-point draws.

numpy promises stable raw streams of its bit generators, but neither the methods built on them nor
the last bit of `exp` or `log`. So draws here are integers, weights are integers, and tables come
from exact arithmetic (or from operations that IEEE 754 rounds correctly: + × ÷ √).
"""

import hashlib
import math
import random
from collections.abc import Sequence
from decimal import Context, Decimal
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_HALF_WORD = np.uint64(32)
_QUANTILES = 4096
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_WORD_MASK = (1 << 64) - 1


class Streams:
    """Independent streams of random words, each named by a word and two numbers.

    A stream does not depend on what was drawn from others, so a chunk of rows is the same whether
    or not the chunks before it were made.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def words(self, name: str, count: int, *, chunk: int = 0) -> Words:
        """`count` raw 64-bit words of the stream (`name`, `chunk`)."""
        key = np.array([self._seed, _tag(name)], dtype=np.uint64)
        counter = np.array([0, chunk, 0, 0], dtype=np.uint64)
        return np.random.Philox(key=key, counter=counter).random_raw(count)

    def below(self, name: str, count: int, bound: int | Ints, *, chunk: int = 0) -> Ints:
        """`count` integers from 0 up to (not with) `bound`, which is at most 2^31."""
        return scaled(self.words(name, count, chunk=chunk), bound)

    def dice(self, name: str) -> "Dice":
        """Single draws."""
        return Dice((self._seed << 64) | _tag(name))


class Dice:
    """Single random integers, for the few records that get one by one treatment."""

    def __init__(self, seed: int) -> None:
        self._bits = random.Random(seed).getrandbits

    def below(self, bound: int) -> int:
        """An integer from 0 up to (not with) `bound`, which is at least 1."""
        return (self._bits(64) * bound) >> 64

    def between(self, least: int, most: int) -> int:
        """An integer from `least` to `most`, both included."""
        return least + self.below(most - least + 1)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 cases."""
        return self.below(100) < percent


class Weighted:
    """Draws indices in proportion to integer weights, which add up to less than 2^31."""

    def __init__(self, weights: Sequence[int] | Ints) -> None:
        self.cumulative: Ints = np.cumsum(np.asarray(weights, dtype=np.int64))

    @property
    def total(self) -> int:
        """Sum of all weights."""
        return int(self.cumulative[-1])

    def pick(self, words: Words, *, first: Ints | None = None) -> Ints:
        """One index per word; with `first`, only among the first so many indices of each row."""
        bound = self.total if first is None else self.cumulative[first - 1]
        return np.searchsorted(self.cumulative, scaled(words, bound), side="right")


def scaled(words: Words, bound: int | Ints) -> Ints:
    """Random words brought into [0, `bound`) by their upper half; `bound` is at most 2^31."""
    high = words >> _HALF_WORD
    limit = np.asarray(bound, dtype=np.int64).astype(np.uint64)
    return ((high * limit) >> _HALF_WORD).astype(np.int64)


def zipf_weights(count: int, *, flatness: int, mild: bool = False) -> Ints:
    """Weights ∝ 1 ÷ (rank + flatness), or with `mild` ÷ its ¾th power; they add up to about 2^30.

    Only correctly rounded operations (`fsum` included), so the weights are the same everywhere.
    """
    ranks = np.arange(1, count + 1, dtype=np.float64) + flatness
    if mild:
        root = np.sqrt(ranks)
        ranks = root * np.sqrt(root)
    shares = 1.0 / ranks
    weights = (shares * ((1 << 30) / math.fsum(shares))).astype(np.int64)
    return np.maximum(1, weights)


def permutation(words: Words) -> Ints:
    """The order of the indices by their words: a random permutation."""
    return np.argsort(words, kind="stable")


@cache
def lognormal_permille(sigma: str) -> Ints:
    """4,096 equally likely values of 1000 × e^(σ·z), z standard normal, cut to whole numbers."""
    normal, exact = NormalDist(), Context(prec=20)
    factors = []
    for place in range(_QUANTILES):
        # Six digits of z: a machine's last bit of the quantile can't matter.
        z = Decimal(f"{normal.inv_cdf((place + 0.5) / _QUANTILES):.6f}")
        factors.append(int(1000 * (Decimal(sigma) * z).exp(exact)))
    return np.array(factors, dtype=np.int64)


def mixed(number: int) -> int:
    """A 64-bit number that looks random; different numbers give different ones."""
    number = ((number ^ (number >> 30)) * _MIX[0]) & _WORD_MASK
    number = ((number ^ (number >> 27)) * _MIX[1]) & _WORD_MASK
    return number ^ (number >> 31)


@cache
def _tag(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
