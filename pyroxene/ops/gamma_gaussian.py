"""GammaGaussian: Gaussian functions whose precision a common factor multiplies, which is gamma distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributions as torchdist
from torch import Tensor

from pyroxene.errors import UnsupportedError, UsageError
from pyroxene.ops.gaussian import Gaussian, matrix_and_mvn_to_gaussian, mvn_to_gaussian
from pyroxene.ops.gaussian.canonical import LOG_TWO_PI, product_without
from pyroxene.ops.gaussian.convert import independent_normal
from pyroxene.ops.gaussian.elimination import Eliminated, eliminate
from pyroxene.ops.tensor_utils import precision_to_scale_tril, triangular_solve

__all__ = [
    "Gamma",
    "GammaGaussian",
    "StudentT",
    "gamma_and_mvn_to_gamma_gaussian",
    "gamma_gaussian_tensordot",
    "matrix_and_mvn_to_gamma_gaussian",
]


class Gamma:
    """The function exp(log_normalizer + (concentration - 1) log s - rate s) of positive s.

    Args:
        log_normalizer: shape batch_shape.
        concentration: positive, shape batch_shape.
        rate: positive, shape batch_shape.
    """

    def __init__(self, log_normalizer: Tensor, concentration: Tensor, rate: Tensor) -> None:
        self.log_normalizer = log_normalizer
        self.concentration = concentration
        self.rate = rate

    def log_density(self, s: Tensor) -> Tensor:
        """Return the log of the function at s."""
        return self.log_normalizer + (self.concentration - 1) * s.log() - self.rate * s

    def logsumexp(self) -> Tensor:
        """Return the log of the integral over s, shape batch_shape."""
        return self.log_normalizer + self.concentration.lgamma() - self.concentration * self.rate.log()


class StudentT(NamedTuple):
    """The arguments of a `MultivariateStudentT`."""

    df: Tensor
    """Degrees of freedom, shape batch_shape."""
    loc: Tensor
    """Centre, shape (*batch_shape, D)."""
    scale_tril: Tensor
    """Lower Cholesky factor of the scale matrix, shape (*batch_shape, D, D)."""


class GammaGaussian:
    """The function exp(log_normalizer + alpha log s - beta s + s (xᵀ info_vec - xᵀ precision x / 2)) of (x, s).

    With x normal given s, its precision proportional to s, and s gamma distributed, this is their joint density. As a
    `Gaussian` it is closed under products, substitution and integration, and need not be a density.

    Source: J. M. Bernardo and A. F. M. Smith (1994), Bayesian Theory, section 5.2 (the normal-gamma family).

    Args:
        log_normalizer: shape batch_shape.
        info_vec: shape (*batch_shape, D).
        precision: symmetric, positive semidefinite, shape (*batch_shape, D, D).
        alpha: the power of s, shape batch_shape.
        beta: the rate of s, shape batch_shape. The batch shapes broadcast.

    Example:
        >>> one = torch.tensor(1.0)
        >>> g = GammaGaussian(torch.tensor(0.0), torch.zeros(2), torch.eye(2), one, one)
        >>> g.log_density(torch.zeros(2), one), g.event_logsumexp().logsumexp()
        (tensor(-1.), tensor(1.8379))
    """

    def __init__(
        self, log_normalizer: Tensor, info_vec: Tensor, precision: Tensor, alpha: Tensor, beta: Tensor
    ) -> None:
        self._gaussian = Gaussian(log_normalizer, info_vec, precision)  # with s = 1; it checks the shapes
        self.log_normalizer = log_normalizer
        self.info_vec = info_vec
        self.precision = precision
        self.alpha = alpha
        self.beta = beta

    @classmethod
    def _of(cls, gaussian: Gaussian, alpha: Tensor, beta: Tensor) -> GammaGaussian:
        return cls(gaussian.log_normalizer, gaussian.info_vec, gaussian.precision, alpha, beta)

    def dim(self) -> int:
        """Return the number of variables D, s not among them."""
        return self._gaussian.dim()

    @property
    def batch_shape(self) -> torch.Size:
        """The shape that the batch shapes of the five tensors broadcast to."""
        return torch.broadcast_shapes(self._gaussian.batch_shape, self.alpha.shape, self.beta.shape)

    def expand(self, batch_shape: Sequence[int]) -> GammaGaussian:
        """Return the function with a larger batch shape, its tensors expanded."""
        shape = torch.Size(batch_shape)
        return self._of(self._gaussian.expand(shape), self.alpha.expand(shape), self.beta.expand(shape))

    def reshape(self, batch_shape: Sequence[int]) -> GammaGaussian:
        """Return the function with its batch dimensions rearranged."""
        whole, shape = self.expand(self.batch_shape), tuple(batch_shape)
        return self._of(whole._gaussian.reshape(shape), whole.alpha.reshape(shape), whole.beta.reshape(shape))

    def __getitem__(self, index: Any) -> GammaGaussian:
        """Index the batch dimensions."""
        whole = self.expand(self.batch_shape)
        return self._of(whole._gaussian[index], whole.alpha[index], whole.beta[index])

    @staticmethod
    def cat(parts: Sequence[GammaGaussian], dim: int = 0) -> GammaGaussian:
        """Concatenate along a batch dimension; see `Gaussian.cat`."""
        wholes = [part.expand(part.batch_shape) for part in parts]
        return GammaGaussian._of(
            Gaussian.cat([whole._gaussian for whole in wholes], dim),
            torch.cat([whole.alpha for whole in wholes], dim),
            torch.cat([whole.beta for whole in wholes], dim),
        )

    def event_pad(self, left: int = 0, right: int = 0) -> GammaGaussian:
        """Add variables that the function does not depend on; see `Gaussian.event_pad`."""
        return self._of(self._gaussian.event_pad(left, right), self.alpha, self.beta)

    def event_permute(self, perm: Tensor) -> GammaGaussian:
        """Return the function of variables in another order; see `Gaussian.event_permute`."""
        return self._of(self._gaussian.event_permute(perm), self.alpha, self.beta)

    def __add__(self, other: Any) -> GammaGaussian:
        """Multiply by another function, or by the exponential of a number or a tensor of batch shape."""
        if isinstance(other, GammaGaussian):
            return self._of(self._gaussian + other._gaussian, self.alpha + other.alpha, self.beta + other.beta)
        if isinstance(other, (int, float, Tensor)):
            return self._of(self._gaussian + other, self.alpha, self.beta)
        raise UsageError("Unsupported type", expected="a GammaGaussian, a number or a tensor", got=type(other).__name__)

    def log_density(self, value: Tensor, s: Tensor) -> Tensor:
        """Return the log of the function.

        Args:
            value: x, shape (*batch_shape, D), or broadcasting with it.
            s: positive, shape batch_shape, or broadcasting with it.
        """
        exponent = self._gaussian.log_density(value) - self.log_normalizer
        return self.log_normalizer + self.alpha * s.log() + s * (exponent - self.beta)

    def condition(self, value: Tensor) -> GammaGaussian:
        """Substitute values for the last variables; see `Gaussian.condition`."""
        rest = (self._gaussian - self.log_normalizer).condition(value)
        own = Gaussian(self.log_normalizer, rest.info_vec, rest.precision)
        return self._of(own, self.alpha, self.beta - rest.log_normalizer)

    def marginalize(self, left: int = 0, right: int = 0) -> GammaGaussian:
        """Integrate out variables at one side; see `Gaussian.marginalize`."""
        if not (left or right):
            return self
        if left and right:
            raise UnsupportedError("marginalize takes one side at a time", hint="call it twice")
        size = self.dim()
        out = slice(left) if left else slice(size - right, None)
        rest = slice(left, None) if left else slice(size - right)
        gone = eliminate(self.precision[..., out, out], self.precision[..., out, rest], self.info_vec[..., out])
        kept = Gaussian(
            self.log_normalizer,
            self.info_vec[..., rest] - gone.info_vec,
            self.precision[..., rest, rest] - gone.precision,
        )
        return self._without(kept, self.alpha, self.beta, gone, left + right)

    @classmethod
    def _without(cls, kept: Gaussian, alpha: Tensor, beta: Tensor, gone: Eliminated, count: int) -> GammaGaussian:
        """The function of `kept` variables, with the integral over `count` others multiplied to it."""
        return cls._of(kept + (0.5 * count * LOG_TWO_PI - gone.log_det), alpha - 0.5 * count, beta - 0.5 * gone.squared)

    def compound(self) -> StudentT:
        """Integrate out s, where the function is a density up to a factor.

        Returns:
            The arguments of the `MultivariateStudentT` of x.
        """
        over_s = self.event_logsumexp()
        loc = torch.cholesky_solve(self.info_vec.unsqueeze(-1), torch.linalg.cholesky(self.precision)).squeeze(-1)
        spread = (over_s.rate / over_s.concentration).sqrt()
        shape = self.batch_shape
        return StudentT(
            (2 * over_s.concentration).expand(shape),
            loc.expand(shape + loc.shape[-1:]),
            precision_to_scale_tril(self.precision) * spread[..., None, None],
        )

    def event_logsumexp(self) -> Gamma:
        """Integrate out x.

        Returns:
            A function of s.
        """
        if not self.dim():
            return Gamma(self.log_normalizer, self.alpha + 1, self.beta)
        rest = self.marginalize(left=self.dim())
        return Gamma(rest.log_normalizer, rest.alpha + 1, rest.beta)


def gamma_gaussian_tensordot(x: GammaGaussian, y: GammaGaussian, dims: int = 0) -> GammaGaussian:
    """Multiply functions that share s and some variables, and integrate these variables out.

    Args:
        x: a function of (a, b, s).
        y: a function of (b, c, s).
        dims: the number of variables in b.

    Returns:
        A function of (a, c, s).
    """
    merged, gone = product_without(x._gaussian, y._gaussian, dims)
    alpha, beta = x.alpha + y.alpha, x.beta + y.beta
    if gone is None:
        return GammaGaussian._of(merged, alpha, beta)
    kept = Gaussian(x.log_normalizer + y.log_normalizer, merged.info_vec, merged.precision)
    return GammaGaussian._without(kept, alpha, beta, gone, dims)


def gamma_and_mvn_to_gamma_gaussian(gamma: Any, mvn: Any) -> GammaGaussian:
    """Return the joint density of s and x, where x is normal given s with its covariance divided by s.

    Args:
        gamma: a `Gamma` distribution of s.
        mvn: distribution of x at s = 1, a `MultivariateNormal` or a `Normal(...).to_event(1)`.

    Raises:
        UsageError: they are other distributions.

    Example:
        >>> mvn = torchdist.MultivariateNormal(torch.zeros(4), torch.eye(4))
        >>> gamma_and_mvn_to_gamma_gaussian(torchdist.Gamma(2.0, 1.0), mvn).alpha
        tensor(3.)
    """
    if not isinstance(gamma, torchdist.Gamma):
        raise UsageError("the scale is not gamma distributed", expected="a Gamma", got=gamma)
    own = _scaled(mvn, mvn_to_gaussian(mvn))
    shape, concentration, rate = gamma.batch_shape, gamma.concentration, gamma.rate
    nothing = concentration.new_zeros(())
    log_normalizer = concentration * rate.log() - concentration.lgamma()
    size = own.dim()
    over_s = GammaGaussian(
        log_normalizer, nothing.expand(shape + (size,)), nothing.expand(shape + (size, size)), concentration - 1, rate
    )
    return own + over_s


def matrix_and_mvn_to_gamma_gaussian(matrix: Tensor, mvn: Any) -> GammaGaussian:
    """Return the density of y given x and s as a function of (x, y, s).

    Args:
        matrix: shape (..., X, Y).
        mvn: distribution of y - x @ matrix at s = 1, a `MultivariateNormal` or a `Normal(...).to_event(1)` of Y
            entries; s divides its covariance.
    """
    joint: Any = matrix_and_mvn_to_gaussian(matrix, mvn)
    return _scaled(mvn, joint if isinstance(joint, Gaussian) else joint.to_gaussian())


def _scaled(mvn: Any, density: Gaussian) -> GammaGaussian:
    """Let s multiply the precision of a density of which `mvn` is the noise."""
    normal = independent_normal(mvn)
    if normal is not None:
        white = normal[0] / normal[1]
    else:
        white = triangular_solve(mvn.loc.unsqueeze(-1), mvn._unbroadcasted_scale_tril).squeeze(-1)
    squared = 0.5 * white.square().sum(-1)  # the density's own normaliser is at x = 0; ours multiplies no s
    own = density + squared
    alpha = torch.full_like(squared, 0.5 * white.size(-1))
    return GammaGaussian._of(own, alpha, squared)
