"""Statistics of chains: autocorrelation, R-hat and effective sample size, as Pyro computes them.

The rank-based ones of Vehtari et al. 2021, which diagnostics show, are in `pyroxene.diagnostics.draws`.
"""

from __future__ import annotations

import math

import torch

from pyroxene.errors import UsageError

__all__ = ["autocorrelation", "autocovariance", "effective_sample_size", "gelman_rubin", "split_gelman_rubin"]


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

    Example:
        >>> autocovariance(torch.tensor([1.0, -1.0, 1.0, -1.0])).round(decimals=3)
        tensor([ 1., -1.,  1., -1.])
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

    Example:
        >>> autocorrelation(torch.tensor([1.0, -1.0, 1.0, -1.0])).round(decimals=3)
        tensor([ 1., -1.,  1., -1.])
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

    Raises:
        UsageError: there are fewer than two dimensions, or than 2 draws a chain.

    Source: Gelman and Rubin 1992, Inference from iterative simulation using multiple sequences.

    Example:
        >>> gelman_rubin(torch.tensor([[0.0, 1.0, 0.0, 1.0], [5.0, 6.0, 5.0, 6.0]])) > 5  # two chains apart
        tensor(True)
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

    Raises:
        UsageError: there are fewer than two dimensions, or than 4 draws a chain.

    Source: Gelman et al. 2013, Bayesian Data Analysis, section 11.4.

    Example:
        >>> split_gelman_rubin(torch.arange(100.0).reshape(1, 100)) > 2  # one chain that drifts
        tensor(True)
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

    Raises:
        UsageError: there are fewer than two dimensions, or than 2 draws a chain.

    Source: Geyer 1992, Practical Markov chain Monte Carlo: the initial monotone positive sequence; for several
        chains the Stan reference manual, section on effective sample size.

    Example:
        >>> draws = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
        >>> effective_sample_size(draws) > 1500
        tensor(True)
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
