"""MultivariateStudentT: a multivariate normal with heavy tails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ShapeError

__all__ = ["MultivariateStudentT"]


class MultivariateStudentT(TorchDistribution):
    """Student's t distribution of a vector: a normal one whose covariance is divided by a chi-squared variable.

    With L = scale_tril, nu = df and m = |L^-1 (x - loc)|^2 the density is
    Gamma((nu + D) / 2) / (Gamma(nu / 2) (nu pi)^(D/2) det L) (1 + m / nu)^(-(nu + D) / 2).

    Its mean is loc for df > 1 and does not exist otherwise; its covariance is L L^T df / (df - 2) for df > 2 and
    infinite for 1 < df <= 2.

    Args:
        df: degrees of freedom, positive, shape batch_shape.
        loc: centre, shape (*batch_shape, D).
        scale_tril: lower Cholesky factor of the scale matrix (not of the covariance), shape (*batch_shape, D, D).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of D entries.

    Source: S. Kotz and S. Nadarajah (2004), Multivariate t Distributions and Their Applications, equation 1.1.

    Example:
        >>> d = MultivariateStudentT(5.0, torch.zeros(2), torch.eye(2))
        >>> d.log_prob(torch.zeros(2)), d.variance
        (tensor(-1.8379), tensor([1.6667, 1.6667]))
    """

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        df: torch.Tensor | float,
        loc: torch.Tensor,
        scale_tril: torch.Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1 or scale_tril.dim() < 2 or scale_tril.shape[-2:] != (loc.shape[-1], loc.shape[-1]):
            raise ShapeError(
                "scale_tril of MultivariateStudentT does not fit loc",
                expected="loc of shape (..., D) and scale_tril of shape (..., D, D)",
                got=f"loc of shape {tuple(loc.shape)}, scale_tril of shape {tuple(scale_tril.shape)}",
            )
        df = df if isinstance(df, torch.Tensor) else torch.as_tensor(df, dtype=loc.dtype, device=loc.device)
        batch_shape = torch.Size(broadcast_shape(df.shape, loc.shape[:-1], scale_tril.shape[:-2]))
        self.df = df.expand(batch_shape)
        self.loc = loc.expand(batch_shape + loc.shape[-1:])
        self._unbroadcasted_scale_tril = scale_tril
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls, df: Sequence[int] = (), loc: Sequence[int] = (), scale_tril: Sequence[int] = ()
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(broadcast_shape(df, loc[:-1], scale_tril[:-2])), torch.Size(loc[-1:])

    @property
    def scale_tril(self) -> torch.Tensor:
        """Lower Cholesky factor of the scale matrix, shape (*batch_shape, D, D)."""
        return self._unbroadcasted_scale_tril.expand(self._batch_shape + self._event_shape * 2)

    @property
    def covariance_matrix(self) -> torch.Tensor:
        """The scale matrix L L^T, shape (*batch_shape, D, D): the name is Pyro's; see `variance` for the variance."""
        tril = self._unbroadcasted_scale_tril
        return (tril @ tril.mT).expand(self._batch_shape + self._event_shape * 2)

    @property
    def precision_matrix(self) -> torch.Tensor:
        """The inverse of the scale matrix, shape (*batch_shape, D, D)."""
        inverse = torch.cholesky_inverse(self._unbroadcasted_scale_tril)
        return inverse.expand(self._batch_shape + self._event_shape * 2)

    def expand(self, batch_shape: Size, _instance: Any = None) -> MultivariateStudentT:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(MultivariateStudentT, _instance)
        batch_shape = torch.Size(batch_shape)
        new.df = self.df.expand(batch_shape)
        new.loc = self.loc.expand(batch_shape + self._event_shape)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample; gradients reach all parameters, df through its chi-squared variable."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        chi2 = torchdist.Chi2(self.df, validate_args=False).rsample(torch.Size(sample_shape))
        stretched = white * (self.df / chi2).sqrt().unsqueeze(-1)
        return self.loc + (self._unbroadcasted_scale_tril @ stretched.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, right for large df too, where it becomes the normal's."""
        if self._validate_args:
            self._validate_sample(value)
        size, tril, df = self._event_shape[0], self._unbroadcasted_scale_tril, self.df
        white = torch.linalg.solve_triangular(tril, (value - self.loc).unsqueeze(-1), upper=False).squeeze(-1)
        kernel = -0.5 * (df + size) * torch.log1p(white.square().sum(-1) / df)
        log_det = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return kernel + _log_gamma_ratio(df / 2, size) - 0.5 * size * (df * math.pi).log() - log_det

    @property
    def mean(self) -> torch.Tensor:
        """Loc for df > 1, else nan; shape (*batch_shape, D)."""
        return torch.where(self.df.unsqueeze(-1) > 1, self.loc, torch.nan)

    @property
    def mode(self) -> torch.Tensor:
        """Loc."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each entry: infinite for df <= 2, nan for df <= 1; shape (*batch_shape, D)."""
        df = self.df.unsqueeze(-1)
        scale = self._unbroadcasted_scale_tril.square().sum(-1)
        finite = scale * df / torch.where(df > 2, df - 2, 1.0)
        return torch.where(df > 2, finite, torch.where(df > 1, torch.inf, torch.nan)).expand(self.shape())


def _log_gamma_ratio(x: torch.Tensor, size: int) -> torch.Tensor:
    """Log of Gamma(x + size / 2) / Gamma(x), without the cancellation of two large log-gammas."""
    half = size % 2
    steps = x.unsqueeze(-1) + half / 2 + torch.arange(size // 2, dtype=x.dtype, device=x.device)
    whole = steps.log().sum(-1) if size > 1 else torch.zeros_like(x)
    if not half:
        return whole
    large = x > 30.0
    safe = torch.where(large, 1.0, x)
    series = torch.where(large, x, 30.0)
    # Tricomi and Erdelyi (1951): log Gamma(x + 1/2) / Gamma(x) by its asymptotic series; the next term is below 1e-16
    tail = 1 / series
    square = tail * tail
    asymptotic = 0.5 * series.log() - tail * (1 / 8 - square * (1 / 192 - square * (1 / 640 - square * 17 / 14336)))
    return whole + torch.where(large, asymptotic, (safe + 0.5).lgamma() - safe.lgamma())
