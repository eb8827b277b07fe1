"""Distributions of random covariances and of their Cholesky factors: inverse Wishart, and both in factored form.

All four, torch's Wishart among them, have one factor of a scale matrix and chi and normal variables in a triangle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributions as torchdist
from torch.distributions.utils import lazy_property

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["InverseWishart", "InverseWishartCholesky", "WishartCholesky"]

_LOG_2, _LOG_PI = math.log(2), math.log(math.pi)
W = TypeVar("W", bound="_WishartLike")


class _WishartLike(TorchDistribution):
    """Abstract: a concentration and a D x D scale matrix, given in one of three ways.

    Implementing a distribution: define `support`, `rsample`, `log_prob`, `mean` and `variance` by
    `concentration` and `_factor`, the lower Cholesky factor of the scale matrix.
    """

    arg_constraints = {
        "concentration": constraints.positive,
        "scale_matrix": constraints.positive_definite,
        "rate_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    has_rsample = True

    def __init__(
        self,
        concentration: torch.Tensor | float,
        scale_matrix: torch.Tensor | None = None,
        rate_matrix: torch.Tensor | None = None,
        scale_tril: torch.Tensor | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        given = {"scale_matrix": scale_matrix, "rate_matrix": rate_matrix, "scale_tril": scale_tril}
        matrices = {name: matrix for name, matrix in given.items() if matrix is not None}
        if len(matrices) != 1:
            raise ParameterError(
                f"{type(self).__name__} takes one scale",
                expected="exactly one of scale_matrix, rate_matrix and scale_tril",
                got=", ".join(matrices) or "none",
            )
        [(name, matrix)] = matrices.items()
        if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2]:
            raise ShapeError(f"{name} is not square", expected="(..., D, D)", got=tuple(matrix.shape))
        count = torch.as_tensor(concentration, dtype=matrix.dtype, device=matrix.device)
        batch_shape = torch.Size(broadcast_shape(count.shape, matrix.shape[:-2]))
        self.concentration = count.expand(batch_shape)
        self.__dict__[name] = matrix.expand(batch_shape + matrix.shape[-2:])
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        if self._validate_args and not bool((self.concentration > matrix.shape[-1] - 1).all()):
            raise ParameterError(
                f"concentration of {type(self).__name__} is too small",
                expected=f"more than the number of rows less 1, {matrix.shape[-1] - 1}",
                got=float(self.concentration.detach().min()),
            )
        self._factor = _factor_of(name, matrix)

    @classmethod
    def infer_shapes(
        cls,
        concentration: Sequence[int] = (),
        scale_matrix: Sequence[int] | None = None,
        rate_matrix: Sequence[int] | None = None,
        scale_tril: Sequence[int] | None = None,
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        [matrix] = [shape for shape in (scale_matrix, rate_matrix, scale_tril) if shape is not None]
        return torch.Size(broadcast_shape(concentration, matrix[:-2])), torch.Size(matrix[-2:])

    def expand(self: W, batch_shape: Size, _instance: Any = None) -> W:
        """Return the distribution with a larger batch shape."""
        new: Any = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.concentration = self.concentration.expand(batch_shape)
        for name in ("scale_matrix", "rate_matrix", "scale_tril"):
            if name in self.__dict__:
                new.__dict__[name] = self.__dict__[name].expand(batch_shape + self._event_shape)
        new._factor = self._factor
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @lazy_property
    def scale_tril(self) -> torch.Tensor:
        """Lower Cholesky factor of the scale matrix, shape (*batch_shape, D, D)."""
        return self._factor.expand(self.shape())

    @lazy_property
    def scale_matrix(self) -> torch.Tensor:
        """The scale matrix, shape (*batch_shape, D, D)."""
        return (self._factor @ self._factor.mT).expand(self.shape())

    @lazy_property
    def rate_matrix(self) -> torch.Tensor:
        """The inverse of the scale matrix, shape (*batch_shape, D, D)."""
        return torch.cholesky_inverse(self._factor).expand(self.shape())

    def _rows(self) -> torch.Tensor:
        """The numbers of the rows, from 0."""
        return torch.arange(self._event_shape[0], dtype=self.concentration.dtype, device=self.concentration.device)

    def _bartlett(self, df: torch.Tensor, sample_shape: Size) -> torch.Tensor:
        """Draw triangles with normal entries below a diagonal of chi variables with `df`, shape (*batch_shape, D)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        below = torch.randn(shape, dtype=df.dtype, device=df.device).tril(-1)
        chi2 = torchdist.Chi2(df, validate_args=False).rsample(torch.Size(sample_shape))
        return below + torch.diag_embed(chi2.clamp(min=torch.finfo(df.dtype).tiny).sqrt())

    def _log_diagonal(self, factor: torch.Tensor) -> torch.Tensor:
        return factor.diagonal(dim1=-2, dim2=-1).log()

    def _log_normalizer(self) -> torch.Tensor:
        """Log of 2^(c D / 2) Gamma_D(c / 2), without the determinant of the scale."""
        size = self._event_shape[0]
        gammas = ((self.concentration.unsqueeze(-1) - self._rows()) / 2).lgamma().sum(-1)
        return self.concentration * (0.5 * size * _LOG_2) + 0.25 * size * (size - 1) * _LOG_PI + gammas

    def _squares(self, lower: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """|lower^-1 right|_F^2."""
        return torch.linalg.solve_triangular(lower, right, upper=False).square().sum((-2, -1))


def _factor_of(name: str, matrix: torch.Tensor) -> torch.Tensor:
    """The lower Cholesky factor of a scale matrix that is given by itself, by its inverse or by its factor."""
    if name == "scale_tril":
        return matrix
    if name == "scale_matrix":
        return torch.linalg.cholesky(matrix)
    # rate = A A^T with A upper triangular, the factor read backwards; the scale is A^-T A^-1, and A^-T is lower
    upper = torch.linalg.cholesky(matrix.flip((-2, -1))).flip((-2, -1))
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.solve_triangular(upper.mT, eye.expand_as(matrix), upper=False)


class WishartCholesky(_WishartLike):
    """Distribution of the lower Cholesky factor A of a Wishart matrix X = A A^T.

    With c = concentration and L L^T the scale matrix, the density with respect to the lower triangle is
    2^D prod_i A_ii^(c - i) exp(-|L^-1 A|_F^2 / 2) / (2^(c D / 2) det(L)^c Gamma_D(c / 2)), i from 1.

    The mean is L times a diagonal of chi means, sqrt 2 Gamma((c - i + 2) / 2) / Gamma((c - i + 1) / 2). That of X is
    c times the scale matrix. `Wishart` has the parameters of torch: its df is `concentration`, its covariance_matrix
    `scale_matrix`, its precision_matrix `rate_matrix`.

    Args:
        concentration: degrees of freedom c, more than D - 1, shape batch_shape.
        scale_matrix: scale of X, positive definite, shape (*batch_shape, D, D).
        rate_matrix: its inverse, shape (*batch_shape, D, D).
        scale_tril: its lower Cholesky factor L, shape (*batch_shape, D, D). Give one of the three.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: lower-triangular matrices with a positive diagonal, shape (D, D).

    Source: M. S. Bartlett (1933), On the theory of statistical regression; R. Muirhead (1982), Aspects of Multivariate
    Statistical Theory, theorems 2.1.9 and 3.2.14.

    Example:
        >>> WishartCholesky(3.0, scale_tril=torch.eye(2)).log_prob(torch.eye(2))
        tensor(-2.1447)
    """

    support = constraints.lower_cholesky

    def _chi_df(self) -> torch.Tensor:
        return self.concentration.unsqueeze(-1) - self._rows()

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a factor by Bartlett's decomposition, (*sample_shape, *batch_shape, D, D)."""
        return self._factor @ self._bartlett(self._chi_df(), sample_shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        power = self._chi_df() - 1
        kernel = (power * self._log_diagonal(value)).sum(-1) - 0.5 * self._squares(self._factor, value)
        log_det = self.concentration * self._log_diagonal(self._factor).sum(-1)
        return kernel + self._event_shape[0] * _LOG_2 - log_det - self._log_normalizer()

    def _chi_mean(self) -> torch.Tensor:
        half = self._chi_df() / 2
        return math.sqrt(2) * torch.exp((half + 0.5).lgamma() - half.lgamma())

    @property
    def mean(self) -> torch.Tensor:
        """L times the means of chi variables, shape (*batch_shape, D, D)."""
        return self._factor * self._chi_mean().unsqueeze(-2)

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each entry, shape (*batch_shape, D, D)."""
        own = torch.diag_embed(self._chi_df() - self._chi_mean().square())
        return self._factor.square() @ (own + torch.ones_like(own).tril(-1))


class _InverseWishartLike(_WishartLike):
    """Abstract: what the inverse Wishart distribution and that of its factor share."""

    def _draw_factor(self, sample_shape: Size) -> torch.Tensor:
        """Draw the factor B of X = B B^T with X^-1 of the Wishart distribution.

        W = A A^T with A upper triangular is Bartlett's decomposition read backwards, so A^-T is the lower factor of
        the inverse of W; A_ii^2 is chi-squared with c - D + i degrees of freedom, i from 1.
        """
        triangle = self._bartlett(self._chi_df(), sample_shape)
        eye = torch.eye(self._event_shape[0], dtype=triangle.dtype, device=triangle.device)
        return self._factor @ torch.linalg.solve_triangular(triangle, eye.expand_as(triangle), upper=False)

    def _chi_df(self) -> torch.Tensor:
        return self.concentration.unsqueeze(-1) - self._event_shape[0] + 1 + self._rows()

    def _log_prob_of_factor(self, factor: torch.Tensor) -> torch.Tensor:
        """The log density of X = B B^T, by B."""
        size, count = self._event_shape[0], self.concentration
        kernel = -(count + size + 1) * self._log_diagonal(factor).sum(-1) - 0.5 * self._squares(factor, self._factor)
        return kernel + count * self._log_diagonal(self._factor).sum(-1) - self._log_normalizer()


class InverseWishart(_InverseWishartLike):
    """Distribution of a covariance matrix whose inverse has a Wishart distribution.

    With c = concentration and S the scale matrix, the density is
    det(S)^(c / 2) det(X)^(-(c + D + 1) / 2) exp(-tr(S X^-1) / 2) / (2^(c D / 2) Gamma_D(c / 2)).

    The mean is S / (c - D - 1) for c > D + 1; the mode S / (c + D + 1). It is the conjugate prior of the covariance of
    a normal distribution; an LKJ prior with scales of its own ties the scales less to the correlations.

    Args:
        concentration: degrees of freedom c, more than D - 1, shape batch_shape.
        scale_matrix: S, positive definite, shape (*batch_shape, D, D).
        rate_matrix: the inverse of S, shape (*batch_shape, D, D).
        scale_tril: the lower Cholesky factor of S, shape (*batch_shape, D, D). Give one of the three.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: positive-definite matrices, shape (D, D).

    Source: A. Gelman et al. (2013), Bayesian Data Analysis, appendix A; D. von Rosen (1988), Moments for the inverted
    Wishart distribution.

    Example:
        >>> d = InverseWishart(5.0, torch.eye(2))
        >>> d.log_prob(torch.eye(2)), d.mean.diagonal()
        (tensor(-5.3228), tensor([0.5000, 0.5000]))
    """

    support = constraints.positive_definite

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a matrix, (*sample_shape, *batch_shape, D, D)."""
        factor = self._draw_factor(sample_shape)
        matrix = factor @ factor.mT
        return 0.5 * (matrix + matrix.mT)  # products round both triangles alike on few machines only

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density with respect to the lower triangle, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        return self._log_prob_of_factor(torch.linalg.cholesky(value))

    def _excess(self) -> torch.Tensor:
        """The difference c - D, with dimensions to divide a matrix by."""
        return (self.concentration - self._event_shape[0])[..., None, None]

    @property
    def mean(self) -> torch.Tensor:
        """S / (c - D - 1), nan for c <= D + 1; shape (*batch_shape, D, D)."""
        divisor = self._excess() - 1
        return self.scale_matrix / torch.where(divisor > 0, divisor, torch.nan)

    @property
    def mode(self) -> torch.Tensor:
        """S / (c + D + 1), shape (*batch_shape, D, D)."""
        return self.scale_matrix / (self.concentration + self._event_shape[0] + 1)[..., None, None]

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each entry, nan for c <= D + 3; shape (*batch_shape, D, D)."""
        k, matrix = self._excess(), self.scale_matrix
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        total = (k + 1) * matrix.square() + (k - 1) * outer
        return total / torch.where(k > 3, k * (k - 1).square() * (k - 3), torch.nan)


class InverseWishartCholesky(_InverseWishartLike):
    """Distribution of the lower Cholesky factor B of an inverse Wishart matrix X = B B^T.

    With c = concentration and S = L L^T the scale matrix, the density with respect to the lower triangle is
    2^D det(L)^c prod_i B_ii^-(c + i) exp(-|B^-1 L|_F^2 / 2) / (2^(c D / 2) Gamma_D(c / 2)), i from 1.

    The mean is L times a diagonal of means of inverse chi variables with k_i = c - D + i degrees of freedom,
    Gamma((k_i - 1) / 2) / (sqrt 2 Gamma(k_i / 2)), where each k_i > 1. (NumPyro gives the factor of the mean of X.)

    Args:
        concentration: degrees of freedom c, more than D - 1, shape batch_shape.
        scale_matrix: S, positive definite, shape (*batch_shape, D, D).
        rate_matrix: the inverse of S, shape (*batch_shape, D, D).
        scale_tril: the lower Cholesky factor L of S, shape (*batch_shape, D, D). Give one of the three.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: lower-triangular matrices with a positive diagonal, shape (D, D).

    Source: as `InverseWishart`, with the Jacobian of X in B, 2^D prod_i B_ii^(D - i + 1).

    Example:
        >>> InverseWishartCholesky(5.0, torch.eye(2)).log_prob(torch.eye(2))
        tensor(-3.9365)
    """

    support = constraints.lower_cholesky

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a factor, (*sample_shape, *batch_shape, D, D)."""
        return self._draw_factor(sample_shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        size = self._event_shape[0]
        jacobian = size * _LOG_2 + ((size - self._rows()) * self._log_diagonal(value)).sum(-1)
        return self._log_prob_of_factor(value) + jacobian

    def _inverse_chi_mean(self) -> torch.Tensor:
        half = self._chi_df() / 2
        inverse = torch.exp((half - 0.5).lgamma() - half.lgamma()) / math.sqrt(2)
        return torch.where(half > 0.5, inverse, torch.nan)

    @property
    def mean(self) -> torch.Tensor:
        """L times the means of inverse chi variables, shape (*batch_shape, D, D); nan where they do not exist."""
        return self._factor * self._inverse_chi_mean().unsqueeze(-2)

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each entry, nan for c <= D + 1; shape (*batch_shape, D, D).

        For S the identity, let e_j = E[B_jj^2] = 1 / (k_j - 2). Row k of B is -1 / chi_k times normal variables times
        the rows above, so E[B_kj^2] = e_k (E[B_jj^2] + ... + E[B_k-1,j^2]) = e_j e_k prod_{j < m < k} (1 + e_m).
        """
        df = self._chi_df()
        second = 1 / torch.where(df[..., :1] > 2, df - 2, torch.nan)
        ends = torch.log1p(second).cumsum(-1)
        between = (ends - torch.log1p(second)).unsqueeze(-1) - ends.unsqueeze(-2)
        below = second.unsqueeze(-1) * second.unsqueeze(-2) * between.exp()
        own = torch.diag_embed(second - self._inverse_chi_mean().square())
        return self._factor.square() @ (below.tril(-1) + own)
