"""Gamma variates as a pure function of shape and key, and their derivative: the reference of csrc/gamma.h."""

from __future__ import annotations

import math

import torch

__all__ = ["gamma_sample", "gamma_slope"]

Tensor = torch.Tensor

ROUNDS = 64
"""Proposals at most; each is accepted with probability 0.95 or more, so that all are refused once in 10^83."""

_TINY = 2.2250738585072014e-308  # the smallest normal double: no variate is 0
_TERMS = 200_000


def _signed(word: int) -> int:
    """Return 64 bits as torch's int64 has them."""
    return word - 2**64 if word >= 2**63 else word


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift right with zeros coming in."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _uniform(key: Tensor, number: int) -> Tensor:
    """Return a uniform of the stream of a key, on (0, 1): SplitMix64 with the number as its counter."""
    z = key * _signed(0xD1342543DE82EF95) + _signed((number + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    z = z ^ _shifted(z, 31)
    return (_shifted(z, 11).to(torch.float64) + 0.5) * 2.0**-53


def gamma_sample(alpha: Tensor, key: Tensor) -> Tensor:
    """Return gamma variates of unit scale.

    Args:
        alpha: shapes, positive, float64.
        key: uniforms on [0, 1) in steps of 2^-53, one a variate; equal keys and shapes give equal variates.

    Source:
        Marsaglia and Tsang, 2000, A simple method for generating gamma variables, with their boost for shapes below 1.
    """
    alpha, key = torch.broadcast_tensors(alpha, key)
    bits = (key * 2.0**53).to(torch.int64)
    boosted = alpha < 1.0
    d = torch.where(boosted, alpha + 1.0, alpha) - 1.0 / 3.0
    c = 1.0 / (9.0 * d).sqrt()
    result, waiting = d.clone(), torch.ones_like(boosted)
    for number in range(ROUNDS):
        first, second, third = (_uniform(bits, 1 + 3 * number + k) for k in range(3))
        normal = (-2.0 * first.log()).sqrt() * torch.cos(2.0 * math.pi * second)
        v = (1.0 + c * normal) ** 3
        positive = v > 0.0
        log_v = torch.where(positive, v, torch.ones_like(v)).log()
        accepted = positive & (third.log() < 0.5 * normal * normal + d - d * v + d * log_v)
        result = torch.where(waiting & accepted, d * v, result)
        waiting = waiting & ~accepted
        if not bool(waiting.any()):
            break
    boost = torch.where(boosted, torch.exp(_uniform(bits, 0).log() / alpha), torch.ones_like(alpha))
    return (result * boost).clamp(min=_TINY)


def gamma_slope(alpha: Tensor, x: Tensor) -> Tensor:
    """Return dx/dalpha of a gamma variate at a fixed value of its distribution function.

    With T_n = x^n / ((alpha + 1) ... (alpha + n)) and H_n = 1 / (alpha + 1) + ... + 1 / (alpha + n) it is
    x / alpha * (sum T_n H_n - (log x - digamma(alpha + 1)) sum T_n), from the series of the incomplete gamma function
    (Abramowitz and Stegun 6.5.29) differentiated term by term; all terms are positive.

    Args:
        alpha: shapes, float64.
        x: variates, float64.
    """
    term, total = torch.ones_like(x), torch.ones_like(x)
    harmonic, weighted = torch.zeros_like(x), torch.zeros_like(x)
    for n in range(1, _TERMS):
        term = term * x / (alpha + n)
        harmonic = harmonic + 1.0 / (alpha + n)
        total = total + term
        weighted = weighted + term * harmonic
        if not bool(((x > alpha + n) | (term * harmonic > 1e-17 * weighted)).any()):
            break
    return x / alpha * (weighted - total * (x.log() - torch.digamma(alpha + 1.0)))
