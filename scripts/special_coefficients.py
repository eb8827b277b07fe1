#!/usr/bin/env python3
"""Print the polynomials of `pyroxene/compiler/csrc/special.h`: interpolation at Chebyshev points in 60 digits.

Usage: python scripts/special_coefficients.py

Each is printed by rising powers, with the largest error that its coefficients, rounded to doubles, leave. Needs mpmath.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60


def interpolated(function: Callable, low: float, high: float, degree: int) -> list:
    """Return the coefficients, by rising powers, of the polynomial through a function's values at Chebyshev points."""
    middle, half = mp.mpf(low + high) / 2, mp.mpf(high - low) / 2
    points = [middle + half * mp.cos(mp.pi * (2 * k + 1) / (2 * degree + 2)) for k in range(degree + 1)]
    powers = mp.matrix([[point**k for k in range(degree + 1)] for point in points])
    return list(mp.lu_solve(powers, mp.matrix([function(point) for point in points])))


def log_gamma(t: mp.mpf) -> mp.mpf:
    """lgamma(2 + t) / t."""
    return mp.loggamma(2 + t) / t if abs(t) > 1e-30 else 1 - mp.euler


def sine(square: mp.mpf) -> mp.mpf:
    """sin(pi r) / r, a function of r^2."""
    return mp.pi * mp.sincpi(mp.sqrt(square))


def cosine(square: mp.mpf) -> mp.mpf:
    """cos(pi r), a function of r^2."""
    return mp.cospi(mp.sqrt(square))


def scaled_erfc(t: mp.mpf) -> mp.mpf:
    """(1 + 2 x) exp(x^2) erfc(x) for t = 1 - 2 K / (x + K), K = 3.75 (Shepherd and Laframboise 1981)."""
    if t == 1:
        return 2 / mp.sqrt(mp.pi)
    x = 2 * mp.mpf("3.75") / (1 - t) - mp.mpf("3.75")
    if x > 1000:
        series = sum((-1) ** n * mp.fac2(2 * n - 1) / (2 * x * x) ** n for n in range(8))
        return (1 + 2 * x) / (x * mp.sqrt(mp.pi)) * series
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def after_log_gamma(w: mp.mpf) -> mp.mpf:
    """What Stirling's formula for log gamma(x) leaves, times x; w = 1 / x^2 (Abramowitz and Stegun 6.1.41)."""
    if w < 1e-8:
        return mp.mpf(1) / 12 - w / 360 + w**2 / 1260
    x = 1 / mp.sqrt(w)
    return x * (mp.loggamma(x) - ((x - 0.5) * mp.log(x) - x + mp.log(2 * mp.pi) / 2))


def after_digamma(w: mp.mpf) -> mp.mpf:
    """(log x - 1 / 2x - digamma(x)) x^2 (6.3.18)."""
    if w < 1e-8:
        return mp.mpf(1) / 12 - w / 120 + w**2 / 252
    x = 1 / mp.sqrt(w)
    return (mp.log(x) - 1 / (2 * x) - mp.psi(0, x)) * x**2


def after_trigamma(w: mp.mpf) -> mp.mpf:
    """(trigamma(x) - 1 / x - 1 / 2x^2) x^3 (6.4.12)."""
    if w < 1e-8:
        return mp.mpf(1) / 6 - w / 30 + w**2 / 42
    x = 1 / mp.sqrt(w)
    return (mp.psi(1, x) - 1 / x - w / 2) * x**3


def show(name: str, function: Callable, low: float, high: float, degree: int) -> None:
    """Print one polynomial and its error."""
    numbers = [float(c) for c in interpolated(function, low, high, degree)]
    points = [low + (high - low) * mp.mpf(k) / 997 for k in range(998)]
    worst = max(
        abs(mp.polyval(numbers[::-1], point) / function(point) - 1) if function(point) else 0 for point in points
    )
    print(f"{name}: [{float(low):.4g}, {float(high):.4g}], degree {degree}, relative error {float(worst):.2g}")
    print("    " + ", ".join(map(repr, numbers)))


if __name__ == "__main__":
    show("log gamma", log_gamma, -0.5, 0.5, 16)
    show("sine", sine, 0.0, 0.25, 8)
    show("cosine", cosine, 0.0, 0.25, 8)
    show("after log gamma", after_log_gamma, 0.0, mp.mpf(1) / 25, 6)
    show("after digamma", after_digamma, 0.0, mp.mpf(1) / 36, 6)
    show("after trigamma", after_trigamma, 0.0, mp.mpf(1) / 36, 6)
    show("scaled erfc", scaled_erfc, -1.0, 1.0, 22)
