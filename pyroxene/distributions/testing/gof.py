"""Goodness of fit: p-values of the hypothesis that samples have a given density.

Continuous samples are reduced to numbers that are nearly independent Exponential(1) where the density is right: in one
dimension the normalised gaps between neighbours, in more the mass of the ball that reaches a sample's nearest
neighbour. Those go through scipy's Kolmogorov-Smirnov test. It has little power against a density that is normalised
but too wide or shifted, so a second test looks for that, and the lesser p-value counts twice (Bonferroni): in one
dimension Kolmogorov-Smirnov on the density summed up over the gaps, in two and three a rank correlation of the masses
with the density. Counts go through Pearson's test, rare bins pooled.

A test that draws n samples and asks for a p-value above 1e-6 fails once in a million seeds.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.spatial
import scipy.stats
import torch

from pyroxene.distributions.testing.special import chi2sf
from pyroxene.errors import ShapeError, TooFewSamplesError, UsageError

__all__ = [
    "InvalidTest",
    "auto_goodness_of_fit",
    "density_goodness_of_fit",
    "exp_goodness_of_fit",
    "multinomial_goodness_of_fit",
    "print_histogram",
    "unif01_goodness_of_fit",
    "vector_density_goodness_of_fit",
]

_LEAST_EXPECTED = 5.0  # expected counts below which Pearson's statistic is not chi-squared (Cochran 1954)
_LEAST_SAMPLES = 100
_QUERIES = 10  # one sample in so many is a centre of a ball; see vector_density_goodness_of_fit

_MOST_RANKED = 3  # dimensions; in more, how the density curves within a ball correlates with it, even where it is right


class InvalidTest(TooFewSamplesError):
    """A test is asked to decide with fewer samples than its approximations need."""


def _require_samples(count: int) -> None:
    if count < _LEAST_SAMPLES:
        raise InvalidTest(
            "imprecise test, use more samples", expected=f"at least {_LEAST_SAMPLES} samples", got=f"{count}"
        )


def _require_same_length(samples: torch.Tensor, probs: torch.Tensor) -> None:
    if probs.dim() != 1 or samples.shape[:1] != probs.shape:
        raise ShapeError(
            "each sample needs one density",
            expected="probs of shape (num_samples,) beside samples whose first dimension is num_samples",
            got=f"samples {tuple(samples.shape)}, probs {tuple(probs.shape)}",
        )


def _either(first: float, second: float) -> float:
    """The p-value of two tests at once."""
    return min(1.0, 2 * min(first, second))


def print_histogram(probs: torch.Tensor, counts: torch.Tensor) -> None:
    """Print counts beside what a distribution expects, one bin a line.

    Args:
        probs: probability of each bin, shape (num_bins,).
        counts: how often each bin was hit, shape (num_bins,).

    Example:
        >>> print_histogram(torch.tensor([0.5, 0.5]), torch.tensor([4, 6]))
          probs |   counts
         0.5000 |        4 ##########################
         0.5000 |        6 ########################################
    """
    longest = max(float(counts.max()), 1.0)
    print("  probs |   counts")
    for prob, count in zip(probs.tolist(), counts.tolist()):
        print(f" {prob:.4f} | {count:8.0f} {'#' * int(40 * count / longest)}".rstrip())


def multinomial_goodness_of_fit(
    probs: torch.Tensor, counts: torch.Tensor, *, total_count: int | None = None, plot: bool = False
) -> float:
    """Return the p-value of Pearson's test that counts come from a multinomial distribution.

    Bins that expect fewer than five counts are pooled. Where the probabilities do not sum to one, what is missing is
    one more bin, which holds the counts that `total_count` has beyond those given.

    Args:
        probs: probability of each bin, shape (num_bins,).
        counts: how often each bin was hit, shape (num_bins,).
        total_count: the number of draws; None for the sum of the counts.
        plot: print a histogram.

    Returns:
        The p-value; 0 where an impossible bin was hit, 1 where there is nothing to compare.

    Source: Pearson (1900), On the criterion that a given system of deviations...; Cochran (1954), Some methods for
    strengthening the common chi-squared tests.

    Example:
        >>> round(multinomial_goodness_of_fit(torch.tensor([0.5, 0.5]), torch.tensor([460, 540])), 4)
        0.0114
    """
    probs, counts = torch.as_tensor(probs).double(), torch.as_tensor(counts).double()
    if probs.dim() != 1 or probs.shape != counts.shape:
        raise ShapeError(
            "each bin needs one probability and one count",
            expected="two vectors of one length",
            got=f"probs {tuple(probs.shape)}, counts {tuple(counts.shape)}",
        )
    if plot:
        print_histogram(probs, counts)
    total = float(counts.sum()) if total_count is None else float(total_count)
    expected = np.append(total * probs.numpy(), max(total * (1 - float(probs.sum())), 0.0))
    observed = np.append(counts.numpy(), total - float(counts.sum()))
    if expected[-1] < 1e-5 * total and observed[-1] == 0:  # rounding
        expected[-1] = 0.0
    if (observed[expected == 0] > 0).any():
        return 0.0
    rare = expected < _LEAST_EXPECTED
    expected = np.append(expected[~rare], expected[rare].sum())
    observed = np.append(observed[~rare], observed[rare].sum())
    if 0 < expected[-1] < _LEAST_EXPECTED and len(expected) > 1:  # what is pooled is still rare: add it to the next
        least = int(expected[:-1].argmin())
        expected[least] += expected[-1]
        observed[least] += observed[-1]
        expected, observed = expected[:-1], observed[:-1]
    observed, expected = observed[expected > 0], expected[expected > 0]
    if len(expected) < 2:
        return 1.0
    return chi2sf(float(((observed - expected) ** 2 / expected).sum()), len(expected) - 1)


def unif01_goodness_of_fit(samples: torch.Tensor, *, plot: bool = False) -> float:
    """Return the p-value of the hypothesis that samples are uniform between 0 and 1.

    Args:
        samples: shape (num_samples,), at least 100.
        plot: print a histogram of ten bins.

    Raises:
        InvalidTest: there are too few samples.
        UsageError: a sample lies outside of [0, 1].

    Example:
        >>> unif01_goodness_of_fit(torch.arange(0.5, 1000) / 1000) > 0.99
        True
    """
    _require_samples(samples.numel())
    if not bool(((samples >= 0) & (samples <= 1)).all()):
        raise UsageError("samples must lie between 0 and 1", got=f"{float(samples.min())} to {float(samples.max())}")
    if plot:
        print_histogram(torch.full((10,), 0.1), torch.histc(samples.double(), 10, 0.0, 1.0))
    return float(scipy.stats.kstest(samples.detach().double().numpy().ravel(), "uniform").pvalue)


def exp_goodness_of_fit(samples: torch.Tensor, plot: bool = False) -> float:
    """Return the p-value of the hypothesis that samples are exponential with rate 1.

    Args:
        samples: shape (num_samples,), at least 100, not negative.
        plot: print a histogram of the samples' ranks under the hypothesis.

    Raises:
        InvalidTest: there are too few samples.

    Example:
        >>> exp_goodness_of_fit(-torch.log1p(-torch.arange(0.5, 1000) / 1000)) > 0.99
        True
    """
    return unif01_goodness_of_fit(-torch.expm1(-samples.double()), plot=plot)


def density_goodness_of_fit(samples: torch.Tensor, probs: torch.Tensor, plot: bool = False) -> float:
    """Return the p-value of the hypothesis that real samples have a density, which must be normalised.

    The mass between neighbours of the sorted samples, gap times density times their number, is Exponential(1), and its
    cumulative sum is the cdf, whose values are uniform.

    Args:
        samples: shape (num_samples,), at least 100.
        probs: the density at each sample, shape (num_samples,).
        plot: print a histogram.

    Raises:
        InvalidTest: there are too few samples.

    Source: Pyke (1965), Spacings, section 2.

    Example:
        >>> samples = torch.arange(0.5, 1000) / 1000
        >>> density_goodness_of_fit(samples, torch.ones(1000)) < 1e-6  # equal gaps are not exponential
        True
    """
    _require_same_length(samples, probs)
    if samples.dim() != 1:
        raise ShapeError(
            "samples must be real numbers", got=f"shape {tuple(samples.shape)}", hint="vector_density_goodness_of_fit"
        )
    _require_samples(len(samples))
    ordered, order = samples.detach().double().sort()
    density = probs.detach().double()[order]
    left, right = density[:-1], density[1:]
    ratio = (right / left).log()
    close = (ratio.abs() < 1e-3) | ~ratio.isfinite()
    safe = torch.where(close, torch.ones_like(ratio), ratio)
    # the logarithmic mean: exact where the density falls exponentially, as it does in tails
    between = torch.where(close, (left + right) / 2, (right - left) / safe)
    masses = (ordered[1:] - ordered[:-1]) * between
    local = exp_goodness_of_fit(masses * (len(samples) + 1), plot=plot)
    # the cdf at all samples but the first, before which 1 / num_samples is expected
    cdf = (masses.cumsum(0) + 1 / len(samples)).clamp(max=1)
    return _either(local, float(scipy.stats.kstest(cdf.numpy(), "uniform").pvalue))


def vector_density_goodness_of_fit(
    samples: torch.Tensor, probs: torch.Tensor, *, dim: int | None = None, plot: bool = False
) -> float:
    """Return the p-value of the hypothesis that vectors have a density, which must be normalised.

    The mass of the ball around a sample that reaches its nearest neighbour is Exponential(1) / num_samples. Two samples
    that are each other's nearest share a ball, so the neighbours of a tenth of the samples are looked for among the
    others. The density must vary little within a ball: the more dimensions, the more samples.

    Args:
        samples: shape (num_samples, num_coordinates), at least 1000; further dimensions are flattened.
        probs: the density at each sample, shape (num_samples,).
        dim: dimension of the surface on which the samples lie, 2 for a sphere in space; None for num_coordinates.
        plot: print a histogram.

    Raises:
        InvalidTest: there are too few samples.

    Source: Bickel and Breiman (1983), Sums of functions of nearest neighbor distances, moment bounds, limit theorems
    and a goodness of fit test.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> vector_density_goodness_of_fit(torch.rand(1000, 2), torch.ones(1000)) > 1e-3
        True
    """
    _require_same_length(samples, probs)
    points = samples.detach().double().reshape(len(samples), -1).numpy()
    density = probs.detach().double().numpy()
    dim = points.shape[1] if dim is None else dim
    if dim == 0:
        return 1.0
    num_centres = len(points) // _QUERIES
    _require_samples(num_centres)
    distance, _ = scipy.spatial.KDTree(points[num_centres:]).query(points[:num_centres])
    volume = math.pi ** (dim / 2) / math.gamma(dim / 2 + 1) * distance**dim
    masses = volume * density[:num_centres] * (len(points) - num_centres)
    local = exp_goodness_of_fit(torch.as_tensor(masses), plot=plot)
    inside = density[:num_centres]
    if dim > _MOST_RANKED or inside.min() == inside.max():
        return local
    return _either(local, float(scipy.stats.spearmanr(masses, inside).pvalue))


def auto_goodness_of_fit(
    samples: torch.Tensor, probs: torch.Tensor, *, dim: int | None = None, plot: bool = False
) -> float:
    """Return the p-value of the hypothesis that samples have a density, by the test that fits their kind.

    Integers and repeated values are counted, real numbers go to `density_goodness_of_fit`, all else to
    `vector_density_goodness_of_fit`.

    Args:
        samples: shape (num_samples, *event_shape).
        probs: the density or the probability of each sample, shape (num_samples,).
        dim: dimension of the surface on which the samples lie; None for the size of an event.
        plot: print a histogram.

    Raises:
        InvalidTest: there are too few samples.

    Example:
        >>> import pyroxene.distributions as dist
        >>> _ = torch.manual_seed(0)
        >>> d = dist.Poisson(3.0)
        >>> x = d.sample((1000,))
        >>> auto_goodness_of_fit(x, d.log_prob(x).exp()) > 1e-3
        True
    """
    _require_same_length(samples, probs)
    flat = samples.detach().reshape(len(samples), -1)
    values, where = np.unique(flat.numpy(), axis=0, return_inverse=True)
    whole = not flat.is_floating_point() or bool((flat == flat.round()).all())
    if whole or len(values) < 0.9 * len(flat):
        _require_samples(len(flat))
        counts = torch.as_tensor(np.bincount(where.ravel(), minlength=len(values)))
        each = torch.zeros(len(values), dtype=torch.float64)
        each[torch.as_tensor(where.ravel())] = probs.detach().double()
        return multinomial_goodness_of_fit(each, counts, total_count=len(flat), plot=plot)
    if flat.shape[1] == 1 and dim in (None, 1):
        return density_goodness_of_fit(flat[:, 0], probs, plot=plot)
    return vector_density_goodness_of_fit(samples, probs, dim=dim, plot=plot)
