"""Statistics of draws: autocorrelation, effective sample size, R-hat, quantiles, intervals, WAIC, scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from pyroxene.errors import UsageError

__all__ = [
    "autocorrelation",
    "autocovariance",
    "crps_empirical",
    "effective_sample_size",
    "energy_score_empirical",
    "fit_generalized_pareto",
    "gelman_rubin",
    "hpdi",
    "pi",
    "quantile",
    "resample",
    "split_gelman_rubin",
    "waic",
    "weighed_quantile",
]


def _fast_length(size: int) -> int:
    """Return the least number of factors 2, 3 and 5 that is not below a size, which the FFT likes."""
    best = 1 << (size - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            best = min(best, three << max(math.ceil(size / three) - 1, 0).bit_length())
            three *= 3
        five *= 5
    return best


def autocovariance(input: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Return the autocovariance at every lag, divided by the number of pairs at that lag, by one FFT.

    Args:
        input: draws along `dim`.
        dim: the dimension of draws.

    Returns:
        of `input`'s shape; along `dim` the lag, from 0.
    """
    centred = (input - input.mean(dim, keepdim=True)).transpose(dim, -1)
    size = centred.shape[-1]
    length = _fast_length(2 * size)
    spectrum = torch.fft.rfft(centred, n=length)
    power = spectrum.real.square() + spectrum.imag.square()
    pairs = torch.arange(size, 0, -1, dtype=input.dtype, device=input.device)
    result: torch.Tensor = torch.fft.irfft(power, n=length)[..., :size] / pairs
    return result.transpose(dim, -1)


def autocorrelation(input: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Return the autocorrelation at every lag, each divided by the number of pairs at that lag.

    Args:
        input: draws along `dim`.
        dim: the dimension of draws.

    Returns:
        of `input`'s shape; along `dim` the lag, from 0, where it is 1. Constant draws have autocorrelation 1.
    """
    covariance = autocovariance(input, dim).transpose(dim, -1)
    variance = covariance[..., :1]
    constant = variance == 0
    ratio = torch.where(constant, torch.ones_like(covariance), covariance / torch.where(constant, 1, variance))
    return ratio.transpose(dim, -1)


def _chains_first(input: torch.Tensor, chain_dim: int, sample_dim: int, least: int) -> torch.Tensor:
    """Return draws as (num_chains, num_draws, ...); check that there are enough."""
    if input.dim() < 2:
        raise UsageError(
            "draws have a dimension of chains and one of draws", expected="at least 2 dimensions", got=input
        )
    if input.shape[sample_dim] < least:
        raise UsageError(
            "too few draws", expected=f"at least {least} a chain", got=input.shape[sample_dim], hint="draw more"
        )
    return input.movedim((chain_dim, sample_dim), (0, 1))


def _variances(draws: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the variance within chains and the estimate of the posterior variance of (num_chains, num_draws, ...)."""
    within = draws.var(1).mean(0)
    size = draws.shape[1]
    total = within * ((size - 1) / size)
    if draws.shape[0] > 1:
        total = total + draws.mean(1).var(0)
    return within, total


def gelman_rubin(input: torch.Tensor, chain_dim: int = 0, sample_dim: int = 1) -> torch.Tensor:
    """Return R-hat, the square root of the estimated posterior variance over the variance within chains.

    Args:
        input: draws of one or more chains, two or more a chain.
        chain_dim: the dimension of chains.
        sample_dim: the dimension of draws.

    Returns:
        `input`'s shape without those dimensions; 1 at convergence, nan where draws are constant.

    Source: Gelman and Rubin 1992, Inference from iterative simulation using multiple sequences.
    """
    within, total = _variances(_chains_first(input, chain_dim, sample_dim, 2))
    return (total / within).sqrt()


def split_gelman_rubin(input: torch.Tensor, chain_dim: int = 0, sample_dim: int = 1) -> torch.Tensor:
    """Return R-hat over half chains, which also sees a drift within a chain.

    Args:
        input: draws of one or more chains, four or more a chain; the middle of an odd number is left out.
        chain_dim: the dimension of chains.
        sample_dim: the dimension of draws.

    Returns:
        `input`'s shape without those dimensions.

    Source: Gelman et al. 2013, Bayesian Data Analysis, section 11.4.
    """
    draws = _chains_first(input, chain_dim, sample_dim, 4)
    half = draws.shape[1] // 2
    return gelman_rubin(torch.cat([draws[:, :half], draws[:, -half:]]))


def effective_sample_size(input: torch.Tensor, chain_dim: int = 0, sample_dim: int = 1) -> torch.Tensor:
    """Return how many independent draws would estimate the mean as well.

    Args:
        input: draws of one or more chains, two or more a chain.
        chain_dim: the dimension of chains.
        sample_dim: the dimension of draws.

    Returns:
        `input`'s shape without those dimensions; it may exceed the number of draws where they alternate.

    Source: Geyer 1992, Practical Markov chain Monte Carlo: the initial monotone positive sequence; for several
        chains the Stan reference manual, section on effective sample size.
    """
    draws = _chains_first(input, chain_dim, sample_dim, 2)
    num_chains, size = draws.shape[:2]
    within, total = _variances(draws)
    covariance = autocovariance(draws, dim=1).mean(0)
    if num_chains == 1:
        within = total = covariance[0]
    correlation = 1 - (within - covariance) / total
    correlation[0] = 1
    even = size - size % 2
    pairs = correlation[:even].reshape((even // 2, 2) + correlation.shape[1:]).sum(1)
    pairs = torch.cummin(torch.cat([pairs[:1], pairs[1:].clamp(min=0)]), dim=0)[0]
    return num_chains * size / (2 * pairs.sum(0) - 1)


def _cummin(input: torch.Tensor) -> torch.Tensor:
    """Return the running minimum along the first dimension; Pyro's name."""
    return torch.cummin(input, dim=0)[0]


def resample(input: torch.Tensor, num_samples: int, dim: int = 0, replacement: bool = False) -> torch.Tensor:
    """Return draws picked at random along a dimension.

    Args:
        input: draws along `dim`.
        num_samples: how many to pick.
        dim: the dimension of draws.
        replacement: whether one draw may be picked twice.

    Raises:
        RuntimeError: more are asked for than there are, without replacement.
    """
    picked = torch.multinomial(input.new_ones(input.shape[dim]), num_samples, replacement)
    return input.index_select(dim, picked)


def _probabilities(probs: float | Sequence[float] | torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(probs, dtype=like.dtype, device=like.device)


def quantile(input: torch.Tensor, probs: float | Sequence[float] | torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Return quantiles along a dimension, interpolated between neighbouring draws.

    Args:
        input: draws along `dim`.
        probs: one probability or several, each from 0 to 1.
        dim: the dimension of draws.

    Returns:
        `input`'s shape with `dim` of the length of `probs`, or without it where `probs` is a number.
    """
    wanted = _probabilities(probs, input)
    last = input.shape[dim] - 1
    position = wanted.reshape(-1) * last
    below = position.floor().clamp(0, last).long()
    above = (below + 1).clamp(max=last)
    ordered = input.sort(dim)[0].transpose(dim, -1)
    weight = position - below
    values = (ordered[..., below] * (1 - weight) + ordered[..., above] * weight).transpose(dim, -1)
    return values.reshape(wanted.shape) if input.dim() == 1 else (values if wanted.dim() else values.squeeze(dim))


def weighed_quantile(
    input: torch.Tensor, probs: Sequence[float] | torch.Tensor, log_weights: torch.Tensor, dim: int = 0
) -> torch.Tensor:
    """Return quantiles of weighted draws, interpolated between neighbouring draws.

    Args:
        input: draws along `dim`.
        probs: several probabilities, each from 0 to 1.
        log_weights: log weights of the draws, shape (input.shape[dim],), up to a constant.
        dim: the dimension of draws.

    Returns:
        `input`'s shape with `dim` of the length of `probs`.

    Example:
        >>> draws = torch.tensor([10.0, 50.0, 40.0])
        >>> weighed_quantile(draws, [0.2, 0.8], torch.tensor([0.4, 0.5, 0.1]).log())
        tensor([40.4000, 47.6000])
    """
    wanted = _probabilities(probs, input).reshape(-1)
    ordered, order = input.transpose(dim, -1).sort(-1)
    total = log_weights.softmax(0)[order].cumsum(-1)
    total = (total - total[..., :1]) / (total[..., -1:] - total[..., :1])  # the least draw is at 0, the largest at 1
    lead = total.shape[:-1]
    above = torch.searchsorted(total.contiguous(), wanted.expand((*lead, -1)).contiguous())
    above = above.clamp(1, input.shape[dim] - 1)
    below = above - 1
    left, right = total.gather(-1, below), total.gather(-1, above)
    low, high = ordered.gather(-1, below), ordered.gather(-1, above)
    return (low + (high - low) * (wanted - left) / (right - left)).transpose(dim, -1)


def pi(input: torch.Tensor, prob: float, dim: int = 0) -> torch.Tensor:
    """Return the interval between the quantiles (1 - prob) / 2 and (1 + prob) / 2.

    Args:
        input: draws along `dim`.
        prob: the mass inside.
        dim: the dimension of draws.

    Returns:
        `input`'s shape with `dim` of length 2: lower and upper end.
    """
    return quantile(input, [(1 - prob) / 2, (1 + prob) / 2], dim)


def hpdi(input: torch.Tensor, prob: float, dim: int = 0) -> torch.Tensor:
    """Return the narrowest interval that holds a share of the draws.

    Args:
        input: draws along `dim`.
        prob: the share inside.
        dim: the dimension of draws.

    Returns:
        `input`'s shape with `dim` of length 2: lower and upper end.
    """
    ordered = input.sort(dim)[0].transpose(dim, 0)
    size = ordered.shape[0]
    inside = min(int(prob * size), size - 1)  # whole gaps between neighbours
    start = (ordered[inside:] - ordered[: size - inside]).argmin(0, keepdim=True)
    return torch.cat([ordered.gather(0, start), ordered.gather(0, start + inside)]).transpose(dim, 0)


def waic(
    input: torch.Tensor, log_weights: torch.Tensor | None = None, pointwise: bool = False, dim: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the widely applicable information criterion and the effective number of parameters.

    Args:
        input: log likelihood of each observation at each draw; draws along `dim`.
        log_weights: log weights of the draws, up to a constant.
        pointwise: whether to return terms of the observations, not their sums.
        dim: the dimension of draws.

    Returns:
        -2 * (lppd - p_waic), on the deviance scale, and p_waic.

    Source: Watanabe 2010; Gelman, Hwang and Vehtari 2014, equations 5 and 12.
    """
    draws = input.transpose(dim, -1)
    if log_weights is None:
        log_weights = draws.new_zeros(draws.shape[-1])
    log_weights = log_weights.log_softmax(0)
    weights = log_weights.exp()
    lppd = (draws + log_weights).logsumexp(-1)
    mean = (weights * draws).sum(-1, keepdim=True)
    size = draws.shape[-1]
    penalty = (weights * (draws - mean).square()).sum(-1) * (size / (size - 1))
    criterion = -2 * (lppd - penalty)
    return (criterion, penalty) if pointwise else (criterion.sum(), penalty.sum())


def fit_generalized_pareto(X: torch.Tensor) -> tuple[float, float]:
    """Return shape k and scale sigma of a generalised Pareto distribution that fits draws.

    Args:
        X: draws above the threshold, less the threshold, shape (num_draws,).

    Returns:
        (k, sigma). From k >= 0.7 on importance weights with this tail are not to be trusted.

    Source: Zhang and Stephens 2009, A new and efficient estimation method for the generalized Pareto
        distribution, equations 5 to 8; the weak prior of k from Vehtari, Simpson et al. 2024, appendix C.
    """
    ordered = X.sort()[0].double()
    size = len(ordered)
    num_points = 30 + int(math.sqrt(size))
    index = torch.arange(1, num_points + 1, dtype=ordered.dtype)
    quartile = ordered[int(size / 4 + 0.5) - 1]
    theta = (1 - (num_points / (index - 0.5)).sqrt()) / (3 * quartile) + 1 / ordered[-1]
    shape = -torch.log1p(-theta[:, None] * ordered).mean(1)  # minus k of each theta
    profile = size * ((theta / shape).log() + shape - 1)
    theta_mean = (profile.softmax(0) * theta).sum()
    k = torch.log1p(-theta_mean * ordered).mean()
    sigma = -k / theta_mean
    return float((k * size + 5) / (size + 10)), float(sigma)


def crps_empirical(pred: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the continuous ranked probability score of forecasts given as draws; less is better.

    Args:
        pred: draws, shape (num_draws, *truth.shape).
        truth: what happened.

    Returns:
        E|pred - truth| - E|pred - pred'| / 2 in the units of `truth`, of its shape; memory O(num_draws).

    Source: Gneiting and Raftery 2007, Strictly proper scoring rules, equation 21.
    """
    if pred.shape[1:] != (1,) * (pred.dim() - truth.dim() - 1) + truth.shape:
        raise UsageError(
            "draws and truth differ in shape",
            expected=f"pred of shape (num_draws, *{tuple(truth.shape)})",
            got=f"shape {tuple(pred.shape)}",
        )
    size = pred.shape[0]
    if size < 2:
        return (pred[0] - truth).abs()
    ordered = pred.sort(0)[0]
    gaps = ordered.diff(dim=0)
    left = torch.arange(1, size, dtype=pred.dtype, device=pred.device)
    weight = (left * (size - left)).reshape((-1,) + (1,) * (pred.dim() - 1))
    return (pred - truth).abs().mean(0) - (gaps * weight).sum(0) / size**2


def energy_score_empirical(
    pred: torch.Tensor,
    truth: torch.Tensor,
    pred_batch_size: int | None = None,
    cdist: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = torch.cdist,
) -> torch.Tensor:
    """Return the energy score of multivariate forecasts given as draws; less is better.

    Args:
        pred: draws, shape (..., num_draws, event size).
        truth: what happened, shape (..., num_truths, event size), or (..., event size) of one.
        pred_batch_size: how many draws to take at once, to save memory; None takes all.
        cdist: distances of rows, from (..., m, d) and (..., n, d) to (..., m, n).

    Returns:
        E|pred - truth| - E|pred - pred'| / 2, shape `truth.shape[:-1]`.

    Source: Gneiting and Raftery 2007, Strictly proper scoring rules, equation 22.
    """
    single = truth.dim() == pred.dim() - 1
    rows = truth.unsqueeze(-2) if single else truth
    size = pred.shape[-2]
    batches = pred.split(pred_batch_size or size, dim=-2)
    to_truth = torch.stack([cdist(batch, rows).sum(-2) for batch in batches]).sum(0) / size
    inside = torch.stack([cdist(batch, pred).sum((-1, -2)) for batch in batches]).sum(0) / size**2
    score = to_truth - inside.unsqueeze(-1) / 2
    return score.squeeze(-1) if single else score
