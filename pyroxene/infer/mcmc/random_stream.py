"""The chains' random numbers in Python: the same streams as csrc/random.h draws."""

from __future__ import annotations

import functools
import itertools
import math

import numpy

__all__ = ["RandomStream", "ziggurat_header"]

_MASK = (1 << 64) - 1


def _rotate_left(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (64 - bits))) & _MASK


def _split_mix(state: int) -> tuple[int, int]:
    """Step SplitMix64: the next state and the number drawn."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return state, mixed ^ (mixed >> 31)


class RandomStream:
    """One chain's stream of random numbers: xoshiro256++, keyed by seed and chain; final.

    Args:
        seed: any integer; its lowest 64 bits count.
        chain: number of the chain.

    Source: Blackman and Vigna 2021, "Scrambled linear pseudorandom number generators".

    Example:
        >>> stream = RandomStream(seed=0, chain=0)
        >>> 0.0 <= stream.uniform() < 1.0
        True
    """

    def __init__(self, seed: int, chain: int) -> None:
        _, mixed = _split_mix(seed & _MASK)
        state = mixed ^ chain
        self.words: list[int] = []
        for _ in range(4):
            state, word = _split_mix(state)
            self.words.append(word)

    def bits(self) -> int:
        """Draw 64 random bits."""
        a, b, c, d = self.words
        result = (_rotate_left((a + d) & _MASK, 23) + a) & _MASK
        c ^= a
        d ^= b
        self.words = [a ^ d, b ^ c, c ^ ((b << 17) & _MASK), _rotate_left(d, 45)]
        return result

    def uniform(self) -> float:
        """Draw a uniform number on [0, 1), a multiple of 2^-53."""
        return (self.bits() >> 11) * 2.0**-53

    def coin(self) -> bool:
        """Draw true or false, each with probability one half."""
        return bool(self.bits() >> 63)

    def normal(self) -> float:
        """Draw a standard normal by the ziggurat of 128 layers.

        Source: Marsaglia and Tsang 2000, "The ziggurat method for generating random variables"; Doornik 2005, "An
        improved ziggurat method to generate normal random samples".
        """
        edge, inside = _ziggurat()
        while True:
            bits = self.bits()
            layer = bits & 127
            where = 2.0 * ((bits >> 11) * 2.0**-53) - 1.0
            x = where * edge[layer]
            if abs(where) < inside[layer]:
                return x
            if layer == 0:
                return math.copysign(self._tail(edge[1]), x)
            low = math.exp(-0.5 * (edge[layer] * edge[layer] - x * x))
            high = math.exp(-0.5 * (edge[layer + 1] * edge[layer + 1] - x * x))
            if low + self.uniform() * (high - low) < 1.0:
                return x

    def _tail(self, edge: float) -> float:
        while True:
            beyond = -math.log(1.0 - self.uniform()) / edge
            height = -math.log(1.0 - self.uniform())
            if 2.0 * height >= beyond * beyond:
                return edge + beyond

    def normals(self, count: int) -> numpy.ndarray:
        """Draw standard normals, shape (count,)."""
        return numpy.array([self.normal() for _ in range(count)])


@functools.cache
def _ziggurat() -> tuple[list[float], list[float]]:
    """Return the layers' edges (129, falling to 0) and the share of each layer that is inside the density (128)."""
    start, area = 3.442619855899, 9.91256303526217e-3  # Marsaglia and Tsang 2000, for 128 layers
    height = math.exp(-0.5 * start * start)
    edge = [area / height, start]
    for _ in range(126):
        edge.append(math.sqrt(-2.0 * math.log(area / edge[-1] + height)))
        height = math.exp(-0.5 * edge[-1] * edge[-1])
    edge.append(0.0)
    return edge, [inner / outer for outer, inner in itertools.pairwise(edge)]


def ziggurat_header() -> str:
    """Return ziggurat.h for csrc/random.h: the tables to the last bit, so that C and Python draw the same normals."""
    edge, inside = _ziggurat()
    rows = [
        f"static const double ziggurat_{name}[{len(table)}] = {{\n{', '.join(map(float.hex, table))}}};"
        for name, table in (("edge", edge), ("inside", inside))
    ]
    return "\n".join(["/* The layers of the ziggurat, written by infer/mcmc/random_stream.py. */", *rows, ""])
