"""Statistics of draws: quantiles, intervals, WAIC, scores; those of chains under Pyro's names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from pyroxene.errors import UsageError
from pyroxene.ops.chain_stats import (
    autocorrelation,
    autocovariance,
    effective_sample_size,
    gelman_rubin,
    split_gelman_rubin,
)

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

    Example:
        >>> resample(torch.arange(5.0), num_samples=3).shape
        torch.Size([3])
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

    Example:
        >>> quantile(torch.arange(11.0), [0.05, 0.5])
        tensor([0.5000, 5.0000])
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

    Example:
        >>> pi(torch.arange(11.0), 0.8)
        tensor([1., 9.])
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

    Example:
        >>> hpdi(torch.tensor([0.0, 1.0, 1.1, 1.2, 1.3, 9.0]), 0.5)
        tensor([1.0000, 1.3000])
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

    Example:
        >>> criterion, p_waic = waic(torch.tensor([[-1.0, -2.0], [-1.2, -2.2]]))  # two draws, two observations
        >>> criterion.round(decimals=2), p_waic.round(decimals=2)
        (tensor(6.4600), tensor(0.0400))
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

    Example:
        >>> grid = torch.arange(0.5, 1000) / 1000
        >>> k, sigma = fit_generalized_pareto(-torch.log1p(-grid))  # exponential: k is 0, sigma 1
        >>> abs(k) < 0.05, abs(sigma - 1) < 0.05
        (True, True)
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

    Raises:
        UsageError: `pred` and `truth` differ in shape.

    Source: Gneiting and Raftery 2007, Strictly proper scoring rules, equation 21.

    Example:
        >>> crps_empirical(torch.tensor([1.0, 3.0]), torch.tensor(2.0))
        tensor(0.5000)
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

    Example:
        >>> energy_score_empirical(torch.tensor([[0.0, 0.0], [0.0, 2.0]]), torch.tensor([0.0, 1.0]))
        tensor(0.5000)
    """
    single = truth.dim() == pred.dim() - 1
    rows = truth.unsqueeze(-2) if single else truth
    size = pred.shape[-2]
    batches = pred.split(pred_batch_size or size, dim=-2)
    to_truth = torch.stack([cdist(batch, rows).sum(-2) for batch in batches]).sum(0) / size
    inside = torch.stack([cdist(batch, pred).sum((-1, -2)) for batch in batches]).sum(0) / size**2
    score = to_truth - inside.unsqueeze(-1) / 2
    return score.squeeze(-1) if single else score
