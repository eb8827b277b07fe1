"""LKJ: a distribution over correlation matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch import LKJCholesky, TransformedDistribution
from pyroxene.distributions.torch.onion import sample_correlation_cholesky
from pyroxene.distributions.torch_distribution import EMPTY, Size, validate_sample
from pyroxene.distributions.transforms import CorrMatrixCholeskyTransform
from pyroxene.errors import ParameterError

__all__ = ["LKJ"]

_LOG_PI = math.log(math.pi)


class LKJ(TransformedDistribution):
    """Distribution of a correlation matrix R with density proportional to det(R)^(concentration - 1).

    The mean is the identity; the variance of each correlation is 1 / (2 concentration + dim - 1), and
    (r + 1) / 2 is of distribution Beta(b, b) with b = concentration + (dim - 2) / 2.

    Args:
        dim: number of rows D, at least 2.
        concentration: positive, shape batch_shape; 1 is uniform over correlation matrices, more favours the identity,
            less favours strong correlations.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: correlation matrices, shape (D, D): positive definite with a unit diagonal.

    Source: D. Lewandowski, D. Kurowicka and H. Joe (2009), Generating random correlation matrices based on vines and
    extended onion method, Journal of Multivariate Analysis 100(9).

    Example:
        >>> d = LKJ(3, 1.0)
        >>> d.log_prob(torch.eye(3)), d.expand((4,)).batch_shape
        (tensor(-1.5963), torch.Size([4]))
    """

    base_dist: LKJCholesky
    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_matrix

    def __init__(self, dim: int, concentration: torch.Tensor | float = 1.0, validate_args: bool | None = None) -> None:
        try:
            base = LKJCholesky(dim, concentration, validate_args=validate_args)
        except ValueError as error:
            raise ParameterError(
                str(error), expected="dim of at least 2 and concentration > 0", got=f"dim {dim}, {concentration}"
            ) from error
        super().__init__(base, CorrMatrixCholeskyTransform().inv, validate_args=validate_args)

    _validate_sample = validate_sample

    @property
    def dim(self) -> int:
        """The number of rows."""
        return int(self.base_dist.dim)

    @property
    def concentration(self) -> torch.Tensor:
        """The concentration, shape batch_shape."""
        return self.base_dist.concentration

    @classmethod
    def infer_shapes(cls, *, dim: int, concentration: Sequence[int] = ()) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; `dim` is the number itself."""
        return torch.Size(concentration), torch.Size((dim, dim))

    def expand(self, batch_shape: Size, _instance: Any = None) -> LKJ:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(LKJ, _instance)
        base = LKJCholesky(self.dim, self.concentration.expand(torch.Size(batch_shape)), validate_args=False)
        TransformedDistribution.__init__(new, base, CorrMatrixCholeskyTransform().inv, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample by the onion method, (*sample_shape, *batch_shape, D, D)."""
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self._batch_shape
            factor = sample_correlation_cholesky(self.dim, self.concentration, shape)
            matrix = factor @ factor.mT
            eye = torch.eye(self.dim, dtype=matrix.dtype, device=matrix.device)
            return torch.where(eye == 1, eye, matrix)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density with respect to the correlations below the diagonal."""
        if self._validate_args:
            self._validate_sample(value)
        factor = torch.linalg.cholesky(value)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (self.concentration - 1) * log_det - self._log_normalizer()

    def _log_normalizer(self) -> torch.Tensor:
        """Log of the integral of det^(concentration - 1): a product of integrals over the rows, as they are drawn.

        Row i contributes the volume of a ball of dimension i with weight (1 - y)^(concentration - 1 + (D - 1 - i) / 2):
        pi^(i/2) Gamma(c_i) / Gamma(c_i + i/2) with c_i = concentration + (D - 1 - i) / 2.
        """
        row = torch.arange(1, self.dim, dtype=self.concentration.dtype, device=self.concentration.device)
        later = self.concentration.unsqueeze(-1) + (self.dim - 1 - row) / 2
        log_ball = row / 2 * _LOG_PI + later.lgamma() - (later + row / 2).lgamma()
        return log_ball.sum(-1)

    @property
    def mean(self) -> torch.Tensor:
        """The identity matrix, shape (*batch_shape, D, D)."""
        eye = torch.eye(self.dim, dtype=self.concentration.dtype, device=self.concentration.device)
        return eye.expand(self.shape())

    @property
    def variance(self) -> torch.Tensor:
        """1 / (2 concentration + D - 1) off the diagonal, zero on it."""
        eye = torch.eye(self.dim, dtype=self.concentration.dtype, device=self.concentration.device)
        return (1 - eye) / (2 * self.concentration + self.dim - 1)[..., None, None]
