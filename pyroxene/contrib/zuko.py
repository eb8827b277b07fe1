"""Flows of the zuko library as distributions: for sample statements, as guides and as densities of data.

zuko itself is not imported here: any object with the methods of a torch distribution can be wrapped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution

__all__ = ["ZukoToPyro"]


class ZukoToPyro(TorchDistribution):
    """A distribution that zuko made, such as `flow()` or `flow(context)` of a zuko flow; final.

    The density is that of the wrapped distribution, log p(x) = log p_base(f(x)) + log |df/dx| for a flow f. Where the
    wrapped distribution can draw and score at once (`rsample_and_log_prob`), it does, and `log_prob` of the very tensor
    drawn last returns the score that came with it: that spares a guide the inversion of its flow. Register the
    parameters with `pyroxene.module("name", flow)`.

    Args:
        dist: a distribution of zuko's or of torch's, of any batch and event shape.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> wrapped = ZukoToPyro(Independent(Normal(torch.zeros(3), 1.0), 1))  # or ZukoToPyro(zuko.flows.NSF(3)())
        >>> wrapped.event_shape, wrapped.log_prob(torch.zeros(5, 3)).shape
        (torch.Size([3]), torch.Size([5]))
    """

    arg_constraints: dict[str, Constraint] = {}

    def __init__(self, dist: Any) -> None:
        self.dist = dist
        self._last_draw: tuple[torch.Tensor, torch.Tensor] | None = None
        super().__init__(dist.batch_shape, dist.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override] # torch declares a class attribute
        """Whether draws are reparameterised."""
        return self.dist.has_rsample

    @constraints.dependent_property
    def support(self) -> Constraint:
        """The wrapped distribution's support, or all of space where it names none."""
        try:
            return self.dist.support
        except NotImplementedError:
            return constraints.independent(constraints.real, self.event_dim)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample, and keep its score where the wrapped distribution gives both."""
        both = getattr(self.dist, "rsample_and_log_prob", None)
        if both is None:
            return self.dist.rsample(torch.Size(sample_shape))
        draw, score = both(torch.Size(sample_shape))
        self._last_draw = draw, score
        return draw

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample."""
        with torch.no_grad():
            return self.dist.sample(torch.Size(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density; of the tensor drawn last, the one that was computed with it."""
        if self._last_draw is not None and self._last_draw[0] is value:
            return self._last_draw[1]
        return self.dist.log_prob(value)

    def expand(self, batch_shape: Size, _instance: Any = None) -> ZukoToPyro:
        """Return the distribution with a larger batch shape."""
        new = type(self).__new__(type(self)) if _instance is None else _instance
        ZukoToPyro.__init__(new, self.dist.expand(torch.Size(batch_shape)))
        return new

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last_draw": None}  # it holds a graph, which cannot be copied
