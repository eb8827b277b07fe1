"""GaussianStateSpace: series of vectors, each a linear map of the last one plus normal noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.utils import lazy_property

from pyroxene.compiler.scan import scan
from pyroxene.distributions import constraints
from pyroxene.distributions.families.linear_series import require_steps
from pyroxene.distributions.torch import MultivariateNormal
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["GaussianStateSpace"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class GaussianStateSpace(TorchDistribution):
    """Series of vectors, each a linear map of the last one plus normal noise, all of them seen.

    x[t] = A x[t - 1] + e[t] with A = transition_matrix, x[0] = initial_value, which is not part of the event, and e[t]
    independent and normal with mean 0 and covariance S; the density is prod_t N(x[t]; A x[t - 1], S).

    Args:
        num_steps: length T of a series.
        transition_matrix: A, shape (*batch_shape, D, D).
        covariance_matrix: covariance S of the noise, shape (*batch_shape, D, D); or
        precision_matrix: its inverse; or
        scale_tril: its lower Cholesky factor. Exactly one of the three is given.
        initial_value: x[0], shape (*batch_shape, D); None for zeros.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real matrices of shape (T, D). `mean` and `variance` follow by recursion. `GaussianHMM` is the class for
    states that are not seen themselves.

    Raises:
        ParameterError: not exactly one of the three matrices is given, or num_steps is not a positive integer.
        ShapeError: shapes differ.

    Source: J. D. Hamilton (1994), Time Series Analysis, section 11.1.

    Example:
        >>> d = GaussianStateSpace(3, torch.eye(2), scale_tril=torch.eye(2))
        >>> d.log_prob(torch.zeros(3, 2)), d.variance[:, 0]
        (tensor(-5.5136), tensor([1., 2., 3.]))
    """

    arg_constraints = {
        "transition_matrix": constraints.independent(constraints.real, 2),
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
        "initial_value": constraints.real_vector,
    }
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(
        self,
        num_steps: int,
        transition_matrix: torch.Tensor,
        covariance_matrix: torch.Tensor | None = None,
        precision_matrix: torch.Tensor | None = None,
        scale_tril: torch.Tensor | None = None,
        initial_value: torch.Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        require_steps("GaussianStateSpace", "num_steps", num_steps)
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ParameterError(
                "the noise of GaussianStateSpace is not given by one matrix",
                expected="exactly one of covariance_matrix, precision_matrix and scale_tril",
                got=f"{len(given)} of them",
            )
        initial = transition_matrix.new_zeros(transition_matrix.shape[-1:]) if initial_value is None else initial_value
        size = tuple(initial.shape[-1:])
        if tuple(transition_matrix.shape[-2:]) != size * 2 or tuple(given[0].shape[-2:]) != size * 2:
            raise ShapeError(
                "the matrices of GaussianStateSpace do not fit",
                expected="initial_value of shape (..., D), matrices of shape (..., D, D)",
                got=f"initial_value {tuple(initial.shape)}, transition_matrix {tuple(transition_matrix.shape)}, "
                f"noise {tuple(given[0].shape)}",
            )
        noise = MultivariateNormal(
            given[0].new_zeros(size), covariance_matrix, precision_matrix, scale_tril, validate_args=validate_args
        )
        batch_shape = torch.Size(broadcast_shape(initial.shape[:-1], transition_matrix.shape[:-2], noise.batch_shape))
        self.num_steps = num_steps
        self.transition_matrix = transition_matrix.expand(batch_shape + size * 2)
        self.scale_tril = noise.scale_tril.expand(batch_shape + size * 2)
        self.initial_value = initial.expand(batch_shape + size)
        super().__init__(batch_shape, torch.Size((num_steps, *size)), validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls,
        num_steps: int,
        transition_matrix: Sequence[int],
        covariance_matrix: Sequence[int] = (),
        precision_matrix: Sequence[int] = (),
        scale_tril: Sequence[int] = (),
        initial_value: Sequence[int] = (),
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape from the number of steps and the shapes of the other arguments."""
        matrices = (transition_matrix, covariance_matrix, precision_matrix, scale_tril)
        batch_shape = broadcast_shape(initial_value[:-1], *(shape[:-2] for shape in matrices))
        return torch.Size(batch_shape), torch.Size((num_steps, transition_matrix[-1]))

    @lazy_property
    def covariance_matrix(self) -> torch.Tensor:
        """Covariance of the noise, shape (*batch_shape, D, D)."""
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> torch.Tensor:
        """Inverse of the covariance of the noise, shape (*batch_shape, D, D)."""
        return torch.cholesky_inverse(self.scale_tril)

    def expand(self, batch_shape: Size, _instance: Any = None) -> GaussianStateSpace:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(GaussianStateSpace, _instance)
        batch_shape, size = torch.Size(batch_shape), self._event_shape[-1:]
        new.num_steps = self.num_steps
        new.transition_matrix = self.transition_matrix.expand(batch_shape + size * 2)
        new.scale_tril = self.scale_tril.expand(batch_shape + size * 2)
        new.initial_value = self.initial_value.expand(batch_shape + size)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _run(self, noise: torch.Tensor) -> torch.Tensor:
        """The series that takes up noise of shape (..., T, D)."""

        def step(past: list[torch.Tensor], now: list[torch.Tensor], at: Any) -> tuple[list[torch.Tensor], Any]:
            new = (self.transition_matrix @ past[0].unsqueeze(-1)).squeeze(-1) + now[0]
            return [new], [new]

        first = self.initial_value.expand(noise.shape[:-2] + noise.shape[-1:])
        _, (series,) = scan(step, [first], [noise.movedim(-2, 0)], self.num_steps)
        return series.movedim(0, -2)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series; gradients reach all parameters."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.initial_value.dtype, device=self.initial_value.device)
        return self._run(white @ self.scale_tril.mT)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., T, D), all times at once."""
        if self._validate_args:
            self._validate_sample(value)
        shape = broadcast_shape(value.shape, self._batch_shape + self._event_shape)
        value = value.expand(shape)
        first = self.initial_value.unsqueeze(-2).expand(*shape[:-2], 1, shape[-1])
        past = torch.cat([first, value[..., :-1, :]], -2)
        rest = value - past @ self.transition_matrix.mT
        white = torch.linalg.solve_triangular(self.scale_tril, rest.mT, upper=False).square().sum((-1, -2))
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * white - self.num_steps * (log_det + self._event_shape[-1] * HALF_LOG_2PI)

    @property
    def mean(self) -> torch.Tensor:
        """A^t x[0], shape (*batch_shape, T, D)."""
        return self._run(torch.zeros_like(self.initial_value).unsqueeze(-2).expand(self.shape()))

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each entry at each time, shape (*batch_shape, T, D)."""
        steps = [self.covariance_matrix]
        for _ in range(1, self.num_steps):
            steps.append(self.transition_matrix @ steps[-1] @ self.transition_matrix.mT + steps[0])
        return torch.stack([each.diagonal(dim1=-2, dim2=-1) for each in steps], -2)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, that of T independent vectors of noise."""
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.num_steps * (log_det + self._event_shape[-1] * (HALF_LOG_2PI + 0.5))
