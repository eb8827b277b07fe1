"""KroneckerNormal: a normal distribution on a grid, whose covariance is a Kronecker product, with or without noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["KroneckerNormal"]

_LOG_TWO_PI = math.log(2 * math.pi)


class KroneckerNormal(TorchDistribution):
    """Normal distribution of a vector with covariance K_1 (x) ... (x) K_k + sigma^2 I, for values on a grid.

    An entry stands for a point of the grid, the last coordinate running fastest. No matrix larger than a K_i is made:
    without noise each K_i is factorised by Cholesky, with noise by its eigenvalues, as the sum of a Kronecker product
    and the identity has the product's eigenvectors. The density is the multivariate normal's with mean loc.

    The mean is loc, the variance of an entry the product of its entries of the diagonals of K_i, plus sigma^2.
    PyMC's class has the name `mu` for loc.

    Args:
        loc: mean, shape (*batch_shape, n_1 ... n_k).
        covs: the K_i, each positive definite, shape (*batch_shape, n_i, n_i); or
        chols: their lower Cholesky factors, of the same shapes.
        sigma: standard deviation of the noise, not negative, shape batch_shape; None for no noise. With noise,
            gradients reach the K_i through their eigenvectors and are not finite where eigenvalues of one K_i coincide.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither of covs and chols are given, or one is not positive definite.
        ShapeError: they do not fit loc.

    Support: real vectors of n_1 ... n_k entries.

    Source: Y. Saatci (2011), Scalable Inference for Structured Gaussian Process Models, chapter 5.

    Example:
        >>> d = KroneckerNormal(torch.zeros(6), covs=[torch.eye(2), 4 * torch.eye(3)])
        >>> d.log_prob(torch.ones(6)), d.variance
        (tensor(-10.4225), tensor([4., 4., 4., 4., 4., 4.]))
    """

    arg_constraints = {"loc": constraints.real_vector, "sigma": constraints.nonnegative}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: torch.Tensor,
        covs: Sequence[torch.Tensor] | None = None,
        chols: Sequence[torch.Tensor] | None = None,
        sigma: torch.Tensor | float | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if (covs is None) == (chols is None):
            raise ParameterError(
                "KroneckerNormal takes one list of matrices",
                expected="exactly one of covs and chols",
                got="neither" if covs is None else "both",
            )
        given: Any = chols if covs is None else covs
        matrices = [torch.as_tensor(matrix, dtype=loc.dtype, device=loc.device) for matrix in given]
        sizes = [matrix.shape[-1] for matrix in matrices]
        square = all(matrix.dim() > 1 and matrix.shape[-1] == matrix.shape[-2] for matrix in matrices)
        if loc.dim() < 1 or not square or loc.shape[-1] != math.prod(sizes):
            raise ShapeError(
                "the matrices of KroneckerNormal do not fit loc",
                expected="loc (..., n_1 ... n_k) and k matrices (..., n_i, n_i)",
                got=f"loc {tuple(loc.shape)}, matrices {[tuple(matrix.shape) for matrix in matrices]}",
            )
        self.is_noisy = sigma is not None
        noise = torch.as_tensor(0.0 if sigma is None else sigma, dtype=loc.dtype, device=loc.device)
        batch_shape = torch.Size(broadcast_shape(loc.shape[:-1], noise.shape, *(m.shape[:-2] for m in matrices)))
        self.loc = loc.expand(batch_shape + loc.shape[-1:])
        self.sigma = noise.expand(batch_shape)
        self.sizes = tuple(sizes)
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)
        if self._validate_args:
            _check(matrices, "chols" if covs is None else "covs")
        self._is_factored = covs is None
        self._matrices = matrices

    @classmethod
    def infer_shapes(
        cls, loc: Sequence[int], covs: Any = None, chols: Any = None, sigma: Sequence[int] | None = None
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; `covs` and `chols` are lists of shapes, or of the matrices themselves."""
        shapes = [tuple(getattr(matrix, "shape", matrix)) for matrix in (chols if covs is None else covs)]
        batch = broadcast_shape(loc[:-1], sigma or (), *(shape[:-2] for shape in shapes))
        return torch.Size(batch), torch.Size(loc[-1:])

    def expand(self, batch_shape: Size, _instance: Any = None) -> KroneckerNormal:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(KroneckerNormal, _instance)
        batch_shape = torch.Size(batch_shape)
        new.loc = self.loc.expand(batch_shape + self._event_shape)
        new.sigma = self.sigma.expand(batch_shape)
        for name in ("is_noisy", "sizes", "_is_factored", "_matrices"):
            setattr(new, name, getattr(self, name))
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def covs(self) -> list[torch.Tensor]:
        """The matrices K_i."""
        return [matrix @ matrix.mT for matrix in self._matrices] if self._is_factored else self._matrices

    @property
    def chols(self) -> list[torch.Tensor]:
        """Lower Cholesky factors of the matrices K_i."""
        return self._matrices if self._is_factored else [torch.linalg.cholesky(matrix) for matrix in self._matrices]

    def _along_each(self, value: torch.Tensor, maps: Sequence[Any]) -> torch.Tensor:
        """Apply a map of columns along each coordinate of the grid in turn; k turns bring the first to the front."""
        for size, apply in zip(self.sizes, maps):
            value = apply(value.unflatten(-1, (size, value.shape[-1] // size))).mT.flatten(-2)
        return value

    def _over_grid(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Kronecker product of vectors, shape (..., n_1 ... n_k)."""
        result = vectors[0]
        for vector in vectors[1:]:
            result = (result.unsqueeze(-1) * vector.unsqueeze(-2)).flatten(-2)
        return result

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw the grid, and the noise beside it, (*sample_shape, *batch_shape, n_1 ... n_k)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        value = self.loc + self._along_each(white, [chol.__matmul__ for chol in self.chols])
        return value + self.sigma.unsqueeze(-1) * torch.randn_like(white) if self.is_noisy else value

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        squares, log_det = self._noisy_parts(value) if self.is_noisy else self._plain_parts(value)
        return -0.5 * (squares + log_det + self._event_shape[0] * _LOG_TWO_PI)

    def _plain_parts(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared length of the whitened value, and log determinant, by Cholesky factors."""
        chols, count = self.chols, self._event_shape[0]
        white = self._along_each(value - self.loc, [_solver(chol) for chol in chols])
        parts = [count // c.shape[-1] * 2 * c.diagonal(dim1=-2, dim2=-1).log().sum(-1) for c in chols]
        return white.square().sum(-1), torch.stack(torch.broadcast_tensors(*parts)).sum(0)

    def _noisy_parts(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same by eigenvalues, to which the noise adds."""
        pairs = [torch.linalg.eigh(matrix) for matrix in self.covs]
        turned = self._along_each(value - self.loc, [vectors.mT.__matmul__ for _, vectors in pairs])
        spectrum = self._over_grid([values for values, _ in pairs]) + self.sigma.square().unsqueeze(-1)
        return (turned.square() / spectrum).sum(-1), spectrum.log().sum(-1)

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
        """Variance of each entry, shape (*batch_shape, n_1 ... n_k)."""
        diagonal = self._over_grid([matrix.diagonal(dim1=-2, dim2=-1) for matrix in self.covs])
        return (diagonal + self.sigma.square().unsqueeze(-1)).expand(self.shape())


def _solver(chol: torch.Tensor) -> Any:
    return lambda right: torch.linalg.solve_triangular(chol, right, upper=False)


def _check(matrices: Sequence[torch.Tensor], name: str) -> None:
    """Raise for a matrix outside its constraint."""
    wanted = constraints.lower_cholesky if name == "chols" else constraints.positive_definite
    for place, matrix in enumerate(matrices):
        if not bool(wanted.check(matrix).all()):
            raise ParameterError(
                f"{name}[{place}] of KroneckerNormal is not allowed",
                expected="lower-triangular with a positive diagonal" if name == "chols" else "positive definite",
                got=f"a matrix of shape {tuple(matrix.shape)}",
            )
