"""ZeroSumNormal: independent normal variables, given that they sum to zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints, peer_constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import sum_rightmost
from pyroxene.errors import ParameterError

__all__ = ["ZeroSumNormal"]

_LOG_TWO_PI = math.log(2 * math.pi)


class ZeroSumNormal(TorchDistribution):
    """Distribution of independent normal variables of one scale, given that they sum to zero along each dimension.

    For an event of sizes n_1, ..., n_k the subspace has D = (n_1 - 1) ... (n_k - 1) dimensions, and on it the density
    is exp(-|x|^2 / (2 scale^2)) / (2 pi scale^2)^(D / 2): a D-dimensional isotropic normal one, as the bijection
    `ZeroSumTransform` keeps lengths. Its use is for effects of groups beside a common mean, which otherwise trade off.

    The mean is zero, each variance scale^2 prod_i (1 - 1 / n_i), and each correlation along one dimension
    -1 / (n - 1). The names are NumPyro's; PyMC's `sigma` is `scale`.

    Args:
        scale: standard deviation (not variance) before the conditioning, positive, shape batch_shape.
        event_shape: sizes of the dimensions that sum to zero, each at least 2.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: `event_shape` is empty or holds a size below 2.

    Support: tensors of event_shape that sum to zero along each dimension.

    Source: H. Rue and L. Held (2005), Gaussian Markov Random Fields, section 2.3.3.

    Example:
        >>> d = ZeroSumNormal(1.0, (4,))
        >>> d.log_prob(torch.tensor([1.0, 0.0, -1.0, 0.0])), d.variance
        (tensor(-3.7568), tensor([0.7500, 0.7500, 0.7500, 0.7500]))
    """

    arg_constraints = {"scale": constraints.positive}
    has_rsample = True

    def __init__(
        self, scale: torch.Tensor | float, event_shape: Sequence[int], *, validate_args: bool | None = None
    ) -> None:
        sizes = torch.Size(event_shape)
        if not sizes or min(sizes) < 2:
            raise ParameterError(
                "event_shape of ZeroSumNormal leaves nothing free",
                expected="one or more sizes, each at least 2",
                got=tuple(sizes),
            )
        self.scale = torch.as_tensor(scale)
        super().__init__(self.scale.shape, sizes, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, scale: Sequence[int] = (), event_shape: Sequence[int] = ()) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; `event_shape` is itself."""
        return torch.Size(scale), torch.Size(event_shape)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        """Tensors of event_shape that sum to zero along each dimension."""
        return peer_constraints.zero_sum(len(self._event_shape))

    def expand(self, batch_shape: Size, _instance: Any = None) -> ZeroSumNormal:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(ZeroSumNormal, _instance)
        batch_shape = torch.Size(batch_shape)
        new.scale = self.scale.expand(batch_shape)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def free(self) -> int:
        """The number of dimensions of the subspace, prod_i (n_i - 1)."""
        return math.prod(size - 1 for size in self._event_shape)

    def _wide_scale(self) -> torch.Tensor:
        return self.scale.reshape(self._batch_shape + (1,) * len(self._event_shape))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw independent normal variables and take off their means, (*sample_shape, *batch_shape, *event_shape)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        value = torch.randn(shape, dtype=self.scale.dtype, device=self.scale.device)
        for dim in range(-len(self._event_shape), 0):
            value = value - value.mean(dim, keepdim=True)
        return self._wide_scale() * value

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density with respect to lengths in the subspace."""
        if self._validate_args:
            self._validate_sample(value)
        squares = sum_rightmost((value / self._wide_scale()).square(), len(self._event_shape))
        return -0.5 * squares - self.free * (0.5 * _LOG_TWO_PI + self.scale.log())

    def entropy(self) -> torch.Tensor:
        """Return the entropy with respect to lengths in the subspace, shape batch_shape."""
        return self.free * (0.5 + 0.5 * _LOG_TWO_PI + self.scale.log())

    @property
    def mean(self) -> torch.Tensor:
        """Zero."""
        return torch.zeros(self.shape(), dtype=self.scale.dtype, device=self.scale.device)

    @property
    def mode(self) -> torch.Tensor:
        """Zero."""
        return self.mean

    @property
    def variance(self) -> torch.Tensor:
        """scale^2 prod_i (1 - 1 / n_i), shape (*batch_shape, *event_shape)."""
        share = math.prod(1 - 1 / size for size in self._event_shape)
        return (share * self._wide_scale().square()).expand(self.shape())
