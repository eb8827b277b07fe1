"""Bulk effective draws and R-hat, one code for all peers' draws, numpy alone.

Source: Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), "Rank-normalization, folding, and localization: an improved
R-hat for assessing convergence of MCMC"; Geyer (1992), initial monotone sequence.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np

__all__ = ["effective_draws", "effective_draws_plain", "potential_scale_reduction", "worst"]


@lru_cache(maxsize=16)
def _normal_scores(size: int) -> np.ndarray:
    """Return the normal quantiles of the ranks 1, 1.5, 2, ... up to size (half ranks are ties), equation 14."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((rank / 2.0 - 0.375) / (size + 0.25)) for rank in range(2, 2 * size + 1)])


def _rank_normalise(x: np.ndarray) -> np.ndarray:
    """Return the normal scores of all draws' ranks; ties share their average rank."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    twice_rank = (2 * last - counts + 1)[inverse.reshape(-1)]
    return _normal_scores(x.size)[twice_rank - 2].reshape(x.shape)


def _split(x: np.ndarray) -> np.ndarray:
    """Return each chain's halves as chains of their own, (2 chains, draws // 2); a middle draw is left out."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _scale_reduction(x: np.ndarray) -> float:
    within = x.var(axis=1, ddof=1).mean()
    between = x.mean(axis=1).var(ddof=1)
    count = x.shape[1]
    return float(np.sqrt((count - 1) / count + between / within)) if within > 0 else float("inf")


def potential_scale_reduction(x: np.ndarray) -> float:
    """Return rank-normalised split R-hat, the larger of its bulk and its folded form.

    Args:
        x: draws, shape (chains, draws).
    """
    if not np.isfinite(x).all() or np.ptp(x) == 0:
        return float("inf")
    folded = np.abs(x - np.median(x))
    return max(_scale_reduction(_rank_normalise(_split(x))), _scale_reduction(_rank_normalise(_split(folded))))


def effective_draws_plain(x: np.ndarray) -> float:
    """Return the effective draws of the mean of x as it is, chains already split; equation 10 and 11.

    Args:
        x: draws, shape (chains, draws).
    """
    chains, count = x.shape
    centred = x - x.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * count, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :count] / count
    mean_variance = covariance[:, 0].mean() * count / (count - 1)
    total = mean_variance * (count - 1) / count
    if chains > 1:
        total += x.mean(axis=1).var(ddof=1)
    if not total > 0:
        return float("nan")
    correlation = 1.0 - (mean_variance - covariance.mean(axis=0) * count / (count - 1)) / total
    correlation[0] = 1.0
    pairs = correlation[: count - count % 2].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs < 0)
    kept = pairs[: negative[0]] if len(negative) else pairs
    # A first negative pair ends the sum; its even term counts where it is positive, which steadies antithetic chains.
    rest = max(correlation[2 * len(kept)], 0.0) if 2 * len(kept) < count else 0.0
    time = -1.0 + 2.0 * np.minimum.accumulate(kept).sum() + rest
    draws = chains * count
    return float(draws / max(time, 1.0 / np.log10(draws)))


def effective_draws(x: np.ndarray) -> float:
    """Return the bulk effective draws: rank-normalised, of split chains.

    Args:
        x: draws, shape (chains, draws).
    """
    if not np.isfinite(x).all() or np.ptp(x) == 0:
        return float("nan")
    return effective_draws_plain(_rank_normalise(_split(x)))


def worst(draws: dict[str, np.ndarray]) -> tuple[float, float, str]:
    """Return the least bulk effective draws and the largest R-hat over all components, and where the first is.

    Args:
        draws: each of shape (chains, draws, ...).
    """
    least, largest, where = float("inf"), 0.0, ""
    for name, value in draws.items():
        flat = value.reshape(*value.shape[:2], -1)
        for k in range(flat.shape[-1]):
            effective = effective_draws(flat[..., k])
            effective = 0.0 if np.isnan(effective) else effective
            if effective < least:
                least, where = effective, f"{name}[{k}]"
            largest = max(largest, potential_scale_reduction(flat[..., k]))
    return least, largest, where
