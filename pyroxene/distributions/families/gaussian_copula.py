"""Gaussian copulas: variables of any continuous distributions, tied as correlated normal ones are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.utils import lazy_property

from pyroxene.distributions import constraints
from pyroxene.distributions.families.normal_tails import normal_quantile
from pyroxene.distributions.tails.logarithms import log_ndtr
from pyroxene.distributions.tails.registry import inverse, unchecked
from pyroxene.distributions.torch import Beta
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["GaussianCopula", "GaussianCopulaBeta"]

_LEAST = -1e30
"""The least log probability that is told from 0: its normal quantile, -1.4e15, has a square in float32."""


class GaussianCopula(TorchDistribution):
    """Distribution of a vector with given marginal distributions, whose normal scores are correlated.

    With F_i and f_i the cdf and density of the i-th marginal, z_i = Phi^-1(F_i(x_i)) and R the correlation of z, the
    density is det(R)^(-1/2) exp(-z^T (R^-1 - I) z / 2) prod_i f_i(x_i).

    Mean and variance are the marginals'. The correlation of x is not R: it is weaker, as a rule, and rank
    correlations are (6 / pi) arcsin(R_ij / 2).

    Args:
        marginal_dist: continuous univariate distributions with a cdf, batch shape (*batch_shape, D).
        correlation_matrix: R, shape (*batch_shape, D, D); or
        correlation_cholesky: its lower Cholesky factor, shape (*batch_shape, D, D).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither correlations are given, or the marginals are discrete or of vectors.
        ShapeError: marginals and correlation are not of one size.

    Support: vectors of D entries, each in the support of its marginal.

    Source: P. Song (2000), Multivariate dispersion models generated from Gaussian copula, section 2.

    Example:
        >>> from pyroxene.distributions import Exponential
        >>> d = GaussianCopula(Exponential(torch.ones(2)), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
        >>> d.log_prob(torch.tensor([0.5, 2.0])), d.mean
        (tensor(-2.7690), tensor([1., 1.]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "correlation_matrix": constraints.corr_matrix,
        "correlation_cholesky": constraints.corr_cholesky,
    }
    has_rsample = True

    def __init__(
        self,
        marginal_dist: Any,
        correlation_matrix: torch.Tensor | None = None,
        correlation_cholesky: torch.Tensor | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if (correlation_matrix is None) == (correlation_cholesky is None):
            raise ParameterError(
                f"{type(self).__name__} takes one correlation",
                expected="exactly one of correlation_matrix and correlation_cholesky",
                got="neither" if correlation_matrix is None else "both",
            )
        if marginal_dist.event_shape or marginal_dist.support.is_discrete:
            raise ParameterError(
                "the marginals of a copula must be continuous and of one number each",
                expected="event_shape () and a continuous support",
                got=repr(marginal_dist),
                hint="for discrete data, put the copula on a latent variable",
            )
        name = "correlation_cholesky" if correlation_matrix is None else "correlation_matrix"
        given: Any = correlation_cholesky if correlation_matrix is None else correlation_matrix
        size = marginal_dist.batch_shape[-1:]
        if not size or given.shape[-2:] != size * 2:
            raise ShapeError(
                "marginals and correlation are not of one size",
                expected=f"marginals of batch shape (..., D) and {name} (..., D, D)",
                got=f"batch shape {tuple(marginal_dist.batch_shape)}, {name} {tuple(given.shape)}",
            )
        batch_shape = torch.Size(broadcast_shape(marginal_dist.batch_shape[:-1], given.shape[:-2]))
        wide = batch_shape + size
        self.marginal_dist = marginal_dist if marginal_dist.batch_shape == wide else marginal_dist.expand(wide)
        self.__dict__[name] = given.expand(wide + size)
        super().__init__(batch_shape, size, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Vectors with each entry in the support of its marginal."""
        return constraints.independent(self.marginal_dist.support, 1)

    def expand(self, batch_shape: Size, _instance: Any = None) -> GaussianCopula:
        """Return the distribution with a larger batch shape."""
        new: Any = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.marginal_dist = self.marginal_dist.expand(batch_shape + self._event_shape)
        for name in ("correlation_matrix", "correlation_cholesky"):
            if name in self.__dict__:
                new.__dict__[name] = self.__dict__[name].expand(batch_shape + self._event_shape * 2)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @lazy_property
    def correlation_cholesky(self) -> torch.Tensor:
        """Lower Cholesky factor of the correlation, shape (*batch_shape, D, D)."""
        return torch.linalg.cholesky(self.correlation_matrix)

    @lazy_property
    def correlation_matrix(self) -> torch.Tensor:
        """The correlation of the normal scores, shape (*batch_shape, D, D)."""
        return self.correlation_cholesky @ self.correlation_cholesky.mT

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw normal scores and send them through the marginals' quantiles, (*sample_shape, *batch_shape, D).

        First-order gradients reach the correlation, and the marginals' parameters by implicit reparametrisation.
        """
        shape = self._extended_shape(torch.Size(sample_shape))
        factor = self.correlation_cholesky
        white = torch.randn(shape, dtype=factor.dtype, device=factor.device)
        score = (factor @ white.unsqueeze(-1)).squeeze(-1)
        return inverse(unchecked(self.marginal_dist), log_ndtr(score), log_ndtr(-score))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        marginal = unchecked(self.marginal_dist)
        lower, upper = marginal.log_cdf(value), marginal.log_survival(value)
        score = normal_quantile(lower.clamp(min=_LEAST), upper.clamp(min=_LEAST))
        factor = self.correlation_cholesky
        white = torch.linalg.solve_triangular(factor, score.unsqueeze(-1), upper=False).squeeze(-1)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        tie = 0.5 * (score.square() - white.square()).sum(-1) - log_det
        return tie + marginal.log_prob(value).sum(-1)

    @property
    def mean(self) -> torch.Tensor:
        """The marginals' means, shape (*batch_shape, D)."""
        return self.marginal_dist.mean

    @property
    def variance(self) -> torch.Tensor:
        """The marginals' variances, shape (*batch_shape, D)."""
        return self.marginal_dist.variance


class GaussianCopulaBeta(GaussianCopula):
    """Distribution of a vector of proportions: beta marginals, tied by a Gaussian copula.

    The density is that of `GaussianCopula` with marginal densities x^(a - 1) (1 - x)^(b - 1) / B(a, b); means
    a / (a + b), variances a b / ((a + b)^2 (a + b + 1)).

    Args:
        concentration1: a, positive, shape (*batch_shape, D).
        concentration0: b, positive, shape (*batch_shape, D).
        correlation_matrix: correlation of the normal scores, shape (*batch_shape, D, D); or
        correlation_cholesky: its lower Cholesky factor, shape (*batch_shape, D, D).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither correlations are given.
        ShapeError: parameters are not of one size.

    Support: vectors of D numbers between 0 and 1.

    Source: as `GaussianCopula`.

    Example:
        >>> d = GaussianCopulaBeta(torch.tensor([2.0, 3.0]), torch.ones(2), torch.eye(2))
        >>> d.mean
        tensor([0.6667, 0.7500])
    """

    arg_constraints = {
        "concentration1": constraints.independent(constraints.positive, 1),
        "concentration0": constraints.independent(constraints.positive, 1),
        **GaussianCopula.arg_constraints,
    }
    support = constraints.independent(constraints.unit_interval, 1)

    def __init__(
        self,
        concentration1: torch.Tensor,
        concentration0: torch.Tensor,
        correlation_matrix: torch.Tensor | None = None,
        correlation_cholesky: torch.Tensor | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        marginal = Beta(concentration1, concentration0, validate_args=False)  # its parameters are checked below
        super().__init__(marginal, correlation_matrix, correlation_cholesky, validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls,
        concentration1: Sequence[int],
        concentration0: Sequence[int],
        correlation_matrix: Sequence[int] | None = None,
        correlation_cholesky: Sequence[int] | None = None,
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        given = correlation_cholesky if correlation_matrix is None else correlation_matrix
        wide = broadcast_shape(concentration1, concentration0, (given or ())[:-1])
        return torch.Size(wide[:-1]), torch.Size(wide[-1:])

    @property
    def concentration1(self) -> torch.Tensor:
        """First shape parameters of the marginals, shape (*batch_shape, D)."""
        return self.marginal_dist.concentration1

    @property
    def concentration0(self) -> torch.Tensor:
        """Second shape parameters of the marginals, shape (*batch_shape, D)."""
        return self.marginal_dist.concentration0
