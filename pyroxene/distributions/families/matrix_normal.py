"""MatrixNormal: a normal distribution of matrices whose rows and columns are correlated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints, peer_constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ShapeError

__all__ = ["MatrixNormal"]

_LOG_TWO_PI = math.log(2 * math.pi)


class MatrixNormal(TorchDistribution):
    """Normal distribution of an n x p matrix whose rows and whose columns are correlated.

    With U = R R^T the covariance of rows and V = C C^T that of columns, the entries written column by column are
    normal with covariance V (x) U. The density is
    exp(-|R^-1 (x - loc) C^-T|_F^2 / 2) / ((2 pi)^(n p / 2) det(R)^p det(C)^n).

    The mean is loc and the covariance of x_ij and x_kl is U_ik V_jl. U and V are known up to a factor only.

    Args:
        loc: mean, shape (*batch_shape, n, p).
        scale_tril_row: R, lower Cholesky factor of the covariance of rows, shape (*batch_shape, n, n).
        scale_tril_column: C, lower Cholesky factor of the covariance of columns, shape (*batch_shape, p, p).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ShapeError: the factors do not fit loc.

    Support: real matrices, shape (n, p).

    Source: A. Gupta and D. Nagar (1999), Matrix Variate Distributions, definition 2.2.1.

    Example:
        >>> d = MatrixNormal(torch.zeros(2, 3), torch.eye(2), torch.eye(3))
        >>> d.log_prob(torch.ones(2, 3)), d.event_shape
        (tensor(-8.5136), torch.Size([2, 3]))
    """

    arg_constraints = {
        "loc": peer_constraints.real_matrix,
        "scale_tril_row": constraints.lower_cholesky,
        "scale_tril_column": constraints.lower_cholesky,
    }
    support = peer_constraints.real_matrix
    has_rsample = True

    def __init__(
        self,
        loc: torch.Tensor,
        scale_tril_row: torch.Tensor,
        scale_tril_column: torch.Tensor,
        *,
        validate_args: bool | None = None,
    ) -> None:
        rows, columns = scale_tril_row.shape[-2:], scale_tril_column.shape[-2:]
        if loc.dim() < 2 or rows != loc.shape[-2:-1] * 2 or columns != loc.shape[-1:] * 2:
            raise ShapeError(
                "the factors of MatrixNormal do not fit loc",
                expected="loc (..., n, p), scale_tril_row (..., n, n), scale_tril_column (..., p, p)",
                got=f"{tuple(loc.shape)}, {tuple(scale_tril_row.shape)}, {tuple(scale_tril_column.shape)}",
            )
        batch_shape = torch.Size(
            broadcast_shape(loc.shape[:-2], scale_tril_row.shape[:-2], scale_tril_column.shape[:-2])
        )
        self.loc = loc.expand(batch_shape + loc.shape[-2:])
        self.scale_tril_row = scale_tril_row.expand(batch_shape + rows)
        self.scale_tril_column = scale_tril_column.expand(batch_shape + columns)
        super().__init__(batch_shape, loc.shape[-2:], validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls, loc: Sequence[int], scale_tril_row: Sequence[int], scale_tril_column: Sequence[int]
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        batch = broadcast_shape(loc[:-2], scale_tril_row[:-2], scale_tril_column[:-2])
        return torch.Size(batch), torch.Size(loc[-2:])

    def expand(self, batch_shape: Size, _instance: Any = None) -> MatrixNormal:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(MatrixNormal, _instance)
        batch_shape = torch.Size(batch_shape)
        for name in self.arg_constraints:
            tensor = getattr(self, name)
            setattr(new, name, tensor.expand(batch_shape + tensor.shape[-2:]))
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw loc + R e C^T with e of independent normal entries, (*sample_shape, *batch_shape, n, p)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale_tril_row @ white @ self.scale_tril_column.mT

    @property
    def log_det(self) -> torch.Tensor:
        """Half the log determinant of the covariance: p log det R + n log det C."""
        row = self.scale_tril_row.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        column = self.scale_tril_column.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self._event_shape[1] * row + self._event_shape[0] * column

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, (*sample_shape, *batch_shape); no matrix of n p rows is made."""
        if self._validate_args:
            self._validate_sample(value)
        return -0.5 * (self.squared_distance(value) + self._event_shape.numel() * _LOG_TWO_PI) - self.log_det

    def squared_distance(self, value: torch.Tensor) -> torch.Tensor:
        """Return the squared Mahalanobis distance of a value from loc, (*sample_shape, *batch_shape)."""
        half = torch.linalg.solve_triangular(self.scale_tril_row, value - self.loc, upper=False)
        white = torch.linalg.solve_triangular(self.scale_tril_column, half.mT, upper=False)
        return white.square().sum((-2, -1))

    def entropy(self) -> torch.Tensor:
        """Return the entropy, shape batch_shape."""
        return 0.5 * self._event_shape.numel() * (1 + _LOG_TWO_PI) + self.log_det

    @property
    def mean(self) -> torch.Tensor:
        """Loc."""
        return self.loc

    @property
    def mode(self) -> torch.Tensor:
        """Loc."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each entry, U_ii V_jj, shape (*batch_shape, n, p)."""
        row, column = self.scale_tril_row.square().sum(-1), self.scale_tril_column.square().sum(-1)
        return row.unsqueeze(-1) * column.unsqueeze(-2)
