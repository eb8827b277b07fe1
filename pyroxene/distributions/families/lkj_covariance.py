"""LKJCholeskyCov: the Cholesky factor of a covariance, as LKJ correlations and standard deviations of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch import LKJCholesky
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["LKJCholeskyCov"]


class LKJCholeskyCov(TorchDistribution):
    """Distribution of the lower Cholesky factor L of a covariance diag(s) R diag(s), R of an LKJ distribution.

    L = diag(s) C with C the factor of R, so s_i is the length of the i-th row. With p the density of s and q that of C
    (`LKJCholesky`), the density with respect to the lower triangle is q(C) prod_i p(s_i) C_ii / s_i^(i - 1), i from 1:
    a row of L has i entries, and its length and direction are polar coordinates.

    The correlations are as in `LKJ`, the standard deviations of distribution `sd_dist`; the mean of L has no simple
    form. PyMC's class packs the triangle into a vector; here a value is the matrix itself.

    Args:
        eta: concentration of the correlations, positive, shape batch_shape; 1 is uniform over correlation matrices.
        n: number of rows, at least 2.
        sd_dist: distribution of the standard deviations on the positive numbers: of one number, the same for all
            rows, of batch shape that broadcasts with that of eta; or of a vector of n numbers, by `to_event(1)`.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: n is below 2.
        ShapeError: `sd_dist` is neither of numbers nor of vectors of n.

    Support: lower-triangular matrices with a positive diagonal, shape (n, n).

    Source: D. Lewandowski, D. Kurowicka and H. Joe (2009), Generating random correlation matrices based on vines and
    extended onion method, Journal of Multivariate Analysis 100(9).

    Example:
        >>> from pyroxene.distributions import Exponential
        >>> d = LKJCholeskyCov(2.0, 2, Exponential(1.0))
        >>> d.log_prob(torch.eye(2))
        tensor(-2.2877)
    """

    arg_constraints = {"eta": constraints.positive}
    support = constraints.lower_cholesky

    def __init__(self, eta: torch.Tensor | float, n: int, sd_dist: Any, validate_args: bool | None = None) -> None:
        if n < 2:
            raise ParameterError("a covariance needs two rows", expected="n of at least 2", got=n)
        if tuple(sd_dist.event_shape) not in ((), (n,)):
            raise ShapeError(
                "sd_dist of LKJCholeskyCov is of neither numbers nor vectors",
                expected=f"event_shape () or ({n},)",
                got=tuple(sd_dist.event_shape),
                hint="call to_event(1) on a distribution with a standard deviation for each row",
            )
        eta = torch.as_tensor(eta)
        batch_shape = torch.Size(broadcast_shape(eta.shape, sd_dist.batch_shape))
        self.eta, self.n = eta.expand(batch_shape), n
        self.sd_dist = sd_dist if sd_dist.batch_shape == batch_shape else sd_dist.expand(batch_shape)
        super().__init__(batch_shape, torch.Size((n, n)), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, eta: Sequence[int], n: int, sd_dist: Sequence[int] = ()) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; `n` is the number itself, `sd_dist` the batch shape of that distribution."""
        return torch.Size(broadcast_shape(eta, sd_dist)), torch.Size((n, n))

    def expand(self, batch_shape: Size, _instance: Any = None) -> LKJCholeskyCov:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(LKJCholeskyCov, _instance)
        batch_shape = torch.Size(batch_shape)
        new.eta, new.n, new.sd_dist = self.eta.expand(batch_shape), self.n, self.sd_dist.expand(batch_shape)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _correlations(self) -> LKJCholesky:
        return LKJCholesky(self.n, self.eta, validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw correlations and standard deviations, (*sample_shape, *batch_shape, n, n)."""
        shape = torch.Size(sample_shape)
        if self.sd_dist.event_shape:
            deviations = self.sd_dist.sample(shape)
        else:
            deviations = self.sd_dist.sample(torch.Size((self.n,)) + shape).movedim(0, -1)
        return deviations.unsqueeze(-1) * self._correlations().sample(shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        deviations = torch.linalg.vector_norm(value, dim=-1)
        factor = value / deviations.unsqueeze(-1)
        if self.sd_dist.event_shape:
            prior = self.sd_dist.log_prob(deviations)
        else:
            prior = self.sd_dist.log_prob(deviations.movedim(-1, 0)).sum(0)
        row = torch.arange(self.n, dtype=value.dtype, device=value.device)
        jacobian = (factor.diagonal(dim1=-2, dim2=-1).log() - row * deviations.log()).sum(-1)
        return self._correlations().log_prob(factor) + prior + jacobian
