"""Ordered categories: cut points divide the line of a latent variable, logistic or normal, into one part each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.tails.logarithms import log1mexp
from pyroxene.distributions.tails.registry import icdf
from pyroxene.distributions.torch import Categorical
from pyroxene.distributions.torch_distribution import Size, validate_sample
from pyroxene.distributions.util import broadcast_shape

__all__ = ["OrderedLogistic", "OrderedProbit"]

Tensor = torch.Tensor

_SHORT = 0.05
"""Shorter intervals, in units of 1 / |middle|, are integrated by a Taylor series, whose next term is below 1e-12."""


class _Ordered(Categorical):
    """Abstract: categories 0, ..., K - 1 whose cumulative probabilities are given.

    Implementing ordered categories: keep the parameters with `_set`, all but the cut points named in `_scalars`, then
    call `super().__init__(logits=logits, validate_args=validate_args)`; define `_log_tails`.
    """

    _validate_sample = validate_sample
    _scalars: tuple[str, ...] = ("predictor",)
    predictor: Tensor
    cutpoints: Tensor

    def _set(self, cutpoints: Tensor, **scalars: Tensor | float) -> None:
        """Keep the parameters, expanded to the batch shape."""
        tensors = {
            name: p
            if isinstance(p, torch.Tensor)
            else torch.as_tensor(p, dtype=cutpoints.dtype, device=cutpoints.device)
            for name, p in scalars.items()
        }
        batch_shape = broadcast_shape(cutpoints.shape[:-1], *(p.shape for p in tensors.values()))
        for name, p in tensors.items():
            setattr(self, name, p.expand(batch_shape))
        self.cutpoints = cutpoints.expand(*batch_shape, cutpoints.shape[-1])

    def _log_tails(self) -> tuple[Tensor, Tensor]:
        """Logs of the probabilities below and above each cut point, (*batch_shape, K - 1)."""
        raise NotImplementedError

    @classmethod
    def infer_shapes(cls, *args: Any, **arg_shapes: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        names = ("predictor", "cutpoints", *cls._scalars[1:])
        shapes = {**dict(zip(names, args)), **arg_shapes}
        parts = [tuple(shape)[:-1] if name == "cutpoints" else tuple(shape) for name, shape in shapes.items()]
        return torch.Size(broadcast_shape(*parts)), torch.Size()

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        for name in self._scalars:
            setattr(new, name, getattr(self, name).expand(batch_shape))
        new.cutpoints = self.cutpoints.expand(batch_shape + self.cutpoints.shape[-1:])
        return super().expand(batch_shape, _instance=new)

    def _at(self, value: Tensor, upper: bool) -> Tensor:
        below, above = self._log_tails()
        tail, last = (above, -math.inf) if upper else (below, 0.0)
        tail = torch.cat([tail, torch.full_like(tail[..., :1], last)], -1)
        index = value.floor().clamp(0, tail.shape[-1] - 1).long()
        shape = torch.broadcast_shapes(index.shape, self._batch_shape)
        tail = tail.expand(*shape, tail.shape[-1]).gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)
        return torch.where(value < 0, 0.0 if upper else -math.inf, tail)

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return the log of the probability of no greater category."""
        return self._at(value, upper=False)

    def log_survival(self, value: Tensor) -> Tensor:
        """Return the log of the probability of a greater category."""
        return self._at(value, upper=True)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of no greater category."""
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest category with at least this cdf."""
        return icdf(self, value)

    @property
    def mean(self) -> Tensor:
        """Mean of the category's number."""
        return (self.probs * self._numbers()).sum(-1)

    @property
    def variance(self) -> Tensor:
        """Variance of the category's number."""
        return (self.probs * (self._numbers() - self.mean.unsqueeze(-1)) ** 2).sum(-1)

    def _numbers(self) -> Tensor:
        return torch.arange(self._num_events, dtype=self.cutpoints.dtype, device=self.cutpoints.device)


class OrderedLogistic(_Ordered):
    """Ordered categories of a latent logistic variable, as in proportional-odds regression.

    With eta = predictor, cut points c_1 < ... < c_(K-1), c_0 = -inf, c_K = inf and s the logistic sigmoid:

        p(k) = s(c_(k+1) - eta) - s(c_k - eta),    k = 0, ..., K - 1,

    computed as a product, so that no category's probability is lost by subtraction. PyMC calls the predictor eta.

    Args:
        predictor: eta, location of the latent variable, shape batch_shape.
        cutpoints: c, increasing, shape (*batch_shape, K - 1).
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: P. McCullagh (1980), Regression models for ordinal data, equation 2.1.

    Example:
        >>> d = OrderedLogistic(torch.tensor([0.0, 5.0]), torch.tensor([-1.0, 1.0]))
        >>> d.probs
        tensor([[0.2689, 0.4621, 0.2689],
                [0.0025, 0.0155, 0.9820]])
    """

    arg_constraints = {"predictor": constraints.real, "cutpoints": constraints.ordered_vector}

    def __init__(self, predictor: Tensor | float, cutpoints: Tensor, validate_args: bool | None = None) -> None:
        self._set(cutpoints, predictor=predictor)
        below, above = self._log_tails()
        gap = self.cutpoints[..., :-1] - self.cutpoints[..., 1:]  # of logits: s(a) - s(b) = s(a) s(-b) (1 - e^(b - a))
        between = below[..., 1:] + above[..., :-1] + log1mexp(gap)
        logits = torch.cat([below[..., :1], between, above[..., -1:]], -1)
        super().__init__(logits=logits, validate_args=validate_args)

    def _log_tails(self) -> tuple[Tensor, Tensor]:
        bounds = self.cutpoints - self.predictor.unsqueeze(-1)
        return logsigmoid(bounds), logsigmoid(-bounds)


class OrderedProbit(_Ordered):
    """Ordered categories of a latent normal variable.

    With eta = predictor, cut points c_1 < ... < c_(K-1), c_0 = -inf, c_K = inf and Phi the normal distribution
    function:

        p(k) = Phi((c_(k+1) - eta) / scale) - Phi((c_k - eta) / scale),    k = 0, ..., K - 1.

    PyMC's OrderedProbit(eta, cutpoints, sigma); the names here are those of `OrderedLogistic` and `Normal`.

    Args:
        predictor: eta, mean of the latent variable, shape batch_shape.
        cutpoints: c, increasing, shape (*batch_shape, K - 1).
        scale: standard deviation of the latent variable, positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: J. Aitchison and S. D. Silvey (1957), The generalization of probit analysis to the case of multiple
    responses.

    Example:
        >>> OrderedProbit(torch.tensor(0.0), torch.tensor([-1.0, 1.0])).probs
        tensor([0.1587, 0.6827, 0.1587])
    """

    arg_constraints = {
        "predictor": constraints.real,
        "cutpoints": constraints.ordered_vector,
        "scale": constraints.positive,
    }
    _scalars = ("predictor", "scale")
    scale: Tensor

    def __init__(
        self,
        predictor: Tensor | float,
        cutpoints: Tensor,
        scale: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self._set(cutpoints, predictor=predictor, scale=scale)
        bounds = self._bounds()
        width = (self.cutpoints[..., 1:] - self.cutpoints[..., :-1]) / self.scale.unsqueeze(-1)
        first = torch.special.log_ndtr(bounds[..., :1])
        last = torch.special.log_ndtr(-bounds[..., -1:])
        logits = torch.cat([first, _log_normal_interval(bounds[..., :-1], bounds[..., 1:], width), last], -1)
        super().__init__(logits=logits, validate_args=validate_args)

    def _bounds(self) -> Tensor:
        return (self.cutpoints - self.predictor.unsqueeze(-1)) / self.scale.unsqueeze(-1)

    def _log_tails(self) -> tuple[Tensor, Tensor]:
        bounds = self._bounds()
        return torch.special.log_ndtr(bounds), torch.special.log_ndtr(-bounds)


def _log_normal_interval(low: Tensor, high: Tensor, width: Tensor) -> Tensor:
    """Log of Phi(high) - Phi(low), from the tail that is nearer; a short interval by a series about its middle."""
    is_right = low > 0
    left, right = torch.where(is_right, -high, low), torch.where(is_right, -low, high)
    middle = (left + right) / 2
    is_short = width * (1 + middle.abs()) < _SHORT
    larger = torch.special.log_ndtr(torch.where(is_short, 0.0, right))
    smaller = torch.special.log_ndtr(torch.where(is_short, -1.0, left))
    long = larger + log1mexp(smaller - larger)
    x, w = torch.where(is_short, middle, 0.0) ** 2, torch.where(is_short, width, 0.01) ** 2
    series = w * (x - 1) / 24 + w * w * (x * x - 6 * x + 3) / 1920
    short = torch.log1p(series) + 0.5 * w.log() - 0.5 * x - 0.5 * math.log(2 * math.pi)
    return torch.where(is_short, short, long)
