"""CustomDist: a distribution of functions of the user's own, a sampler, a log density, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import CannotSampleError, ParameterError, UnsupportedError, UsageError

__all__ = ["CustomDist"]

Tensor = torch.Tensor


class CustomDist(TorchDistribution):
    """Distribution of a sampler function, a log density, or both.

    With a log density alone it can be observed, and inferred by every method that needs no samples from the prior; with
    a sampler alone it can be drawn from, for predictions and inference by simulation.

    Args:
        log_density: function of the value and of the parameters by their names; it returns the log density or log
            probability, (*sample_shape, *batch_shape), with the event's dimensions summed. None if there is none.
        sampler: function of a shape, sample_shape + batch_shape, and of the parameters by their names, each expanded to
            the batch shape; it returns a sample, (*shape, *event_shape). None if there is none.
        support: a constraint that values satisfy.
        event_shape: shape of one event.
        has_rsample: whether the gradient of the sampler's result with respect to the parameters is that of a
            reparameterised sample.
        parameter_constraints: a constraint for each parameter that has one, by name. The constraint says how many
            rightmost dimensions of the parameter are not of the batch; none for those without a constraint.
        validate_args: whether to check parameters and values; None for the setting `validate_distributions_torch`.
        parameters: tensors or numbers, by name; their batch shapes broadcast.

    Support: `support`. The mean and the variance are not known.

    Raises:
        UsageError: neither function is given, or samples are said to be reparameterised while there is no sampler.
        ParameterError: a parameter violates its constraint.

    Source: the idea is PyMC's, as is the name.

    Example:
        >>> from pyroxene.distributions import constraints
        >>> def log_density(value, rate):
        ...     return rate.log() - rate * value
        >>> def sampler(shape, rate):
        ...     return -torch.rand(shape).log() / rate
        >>> d = CustomDist(log_density, sampler, support=constraints.nonnegative, has_rsample=True, rate=torch.ones(3))
        >>> d.log_prob(torch.tensor(2.0)), d.sample().shape
        (tensor([-2., -2., -2.]), torch.Size([3]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        log_density: Callable[..., Tensor] | None = None,
        sampler: Callable[..., Tensor] | None = None,
        *,
        support: Any = constraints.real,
        event_shape: Size = EMPTY,
        has_rsample: bool = False,
        parameter_constraints: dict[str, Any] | None = None,
        validate_args: bool | None = None,
        **parameters: Tensor | float,
    ) -> None:
        if log_density is None and sampler is None:
            raise UsageError(
                "CustomDist is made of a log density, a sampler, or both",
                expected="log_density or sampler",
                got="neither",
            )
        if has_rsample and sampler is None:
            raise UsageError("CustomDist has no sampler that could be reparameterised", hint="pass sampler=")
        self.log_density, self.sampler = log_density, sampler
        self._support, self._has_rsample = support, has_rsample
        self.parameter_constraints = dict(parameter_constraints or {})
        unknown = sorted(self.parameter_constraints.keys() - parameters.keys())
        if unknown:
            raise UsageError("a constraint is given for what is no parameter", expected=sorted(parameters), got=unknown)
        self.parameters = {name: _as_tensor(value, parameters.values()) for name, value in parameters.items()}
        shapes = [p.shape[: p.dim() - self._event_dim_of(name)] for name, p in self.parameters.items()]
        batch_shape = torch.Size(broadcast_shape(*shapes))
        self.parameters = self._expanded(batch_shape)
        super().__init__(batch_shape, torch.Size(event_shape), validate_args=validate_args)
        if self._validate_args:
            self._check_parameters()

    def _event_dim_of(self, name: str) -> int:
        constraint = self.parameter_constraints.get(name)
        return 0 if constraint is None else int(constraint.event_dim)

    def _expanded(self, batch_shape: torch.Size) -> dict[str, Tensor]:
        """The parameters at a batch shape."""
        return {
            name: p.expand(batch_shape + p.shape[p.dim() - self._event_dim_of(name) :])
            for name, p in self.parameters.items()
        }

    def _check_parameters(self) -> None:
        for name, constraint in self.parameter_constraints.items():
            if not constraint.check(self.parameters[name]).all():
                raise ParameterError(
                    f"parameter {name} of CustomDist violates its constraint",
                    expected=str(constraint),
                    got=self.parameters[name],
                    hint="transform the argument into its constraint",
                )

    @constraints.dependent_property
    def support(self) -> Any:
        """The constraint that was given."""
        return self._support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the sampler is said to be reparameterised."""
        return self._has_rsample

    @classmethod
    def infer_shapes(
        cls,
        log_density: Any = None,
        sampler: Any = None,
        *,
        event_shape: Size = EMPTY,
        parameter_constraints: dict[str, Any] | None = None,
        support: Any = None,
        has_rsample: bool = False,
        **shapes: Sequence[int],
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        given = parameter_constraints or {}
        dims = {name: given[name].event_dim if name in given else 0 for name in shapes}
        batch_shapes = [tuple(shape)[: len(shape) - dims[name]] for name, shape in shapes.items()]
        return torch.Size(broadcast_shape(*batch_shapes)), torch.Size(event_shape)

    def expand(self, batch_shape: Size, _instance: Any = None) -> CustomDist:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(CustomDist, _instance)
        batch_shape = torch.Size(batch_shape)
        new.log_density, new.sampler = self.log_density, self.sampler
        new._support, new._has_rsample = self._support, self._has_rsample
        new.parameter_constraints = self.parameter_constraints
        new.parameters = self._expanded(batch_shape)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: Tensor) -> Tensor:
        """Return what the log density function says, expanded to (*sample_shape, *batch_shape).

        Raises:
            UnsupportedError: there is no log density.
        """
        if self.log_density is None:
            raise UnsupportedError(
                "this CustomDist has a sampler and no log density",
                hint="pass log_density=, or infer by simulation, which needs samples only",
            )
        if self._validate_args:
            self._validate_sample(value)
        log_density = self.log_density(value, **self.parameters)
        sizes = value.shape[: value.dim() - self.event_dim]
        return log_density.expand(broadcast_shape(sizes, self._batch_shape))

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw by the sampler function, without gradients, (*sample_shape, *batch_shape, *event_shape)."""
        with torch.no_grad():
            return self._draw(sample_shape)

    def rsample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw a reparameterised sample, (*sample_shape, *batch_shape, *event_shape).

        Raises:
            NotImplementedError: the sampler is not said to be reparameterised.
        """
        if not self._has_rsample:
            raise UnsupportedError("this CustomDist has no reparameterised samples", hint="pass has_rsample=True")
        return self._draw(sample_shape)

    def _draw(self, sample_shape: Size) -> Tensor:
        if self.sampler is None:
            raise CannotSampleError("this CustomDist has a log density and no sampler", hint="pass sampler=")
        value = self.sampler(torch.Size(sample_shape) + self._batch_shape, **self.parameters)
        expected = self.shape(sample_shape)
        if value.shape != expected:
            raise UsageError(
                "the sampler of a CustomDist returned a tensor of another shape than asked for",
                expected=str(tuple(expected)),
                got=str(tuple(value.shape)),
                hint="the sampler's shape holds sample and batch dimensions; add those of the event to it",
            )
        return value

    def __repr__(self) -> str:
        names = ", ".join(f"{name}: {tuple(p.shape)}" for name, p in self.parameters.items())
        return f"CustomDist({names})"


def _as_tensor(value: Any, others: Any) -> Tensor:
    """A number as a tensor, of the dtype of the first tensor among the parameters."""
    if isinstance(value, Tensor):
        return value
    like = next((p for p in others if isinstance(p, Tensor) and p.is_floating_point()), None)
    if like is None:
        return torch.as_tensor(value, dtype=torch.get_default_dtype() if isinstance(value, float) else None)
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)
