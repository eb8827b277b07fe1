"""HiddenMarkovModel: what distributions of time series share, the length of their time axis and its checks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import TorchDistribution, validate_sample
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ShapeError, UsageError

__all__ = ["HiddenMarkovModel", "batch_and_time", "require_vectors", "slice_time"]


class HiddenMarkovModel(TorchDistribution):
    """Abstract: a distribution of time series, time being the first dimension of an event.

    A homogeneous model, whose parameters have a time axis of size 1 or none, scores series of any length; it knows how
    long the series are that it draws if it is told their `duration`.

    Args:
        duration: number of time steps, for homogeneous models; None where it follows from the parameters.
        batch_shape: shape of independent series.
        event_shape: shape of one series, its first size that of the parameters' time axis.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Raises:
        ShapeError: duration and the parameters' time axis differ.

    Implementing a hidden Markov model: as any distribution, with `_duration` handed on by `expand`; `sample` calls
    `require_duration` for the number of steps.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        duration: int | None,
        batch_shape: Sequence[int],
        event_shape: Sequence[int],
        validate_args: bool | None = None,
    ) -> None:
        steps = event_shape[0]
        if duration is None:
            duration = None if steps == 1 else steps
        elif steps not in (1, duration):
            raise ShapeError(
                f"duration, event_shape mismatch: {duration} vs {tuple(event_shape)}",
                expected="parameters with a time axis of size 1, or of size duration",
                hint="leave duration out where the parameters have a time axis",
            )
        self._duration = duration
        whole = (steps if duration is None else duration, *event_shape[1:])
        super().__init__(torch.Size(batch_shape), torch.Size(whole), validate_args=validate_args)

    @property
    def duration(self) -> int | None:
        """The number of time steps; None for a homogeneous model that was not told."""
        return self._duration

    def require_duration(self) -> int:
        """Return the number of time steps.

        Raises:
            UsageError: it is not known.
        """
        if self._duration is None:
            raise UsageError(
                "a homogeneous model does not know how long the series to draw are", hint="pass duration=..."
            )
        return self._duration

    def _validate_sample(self, value: torch.Tensor) -> None:
        expected, got = tuple(self._event_shape), tuple(value.shape[value.dim() - len(self._event_shape) :])
        if self._duration is None:  # any number of steps
            expected, got = expected[1:], got[1:]
        if value.dim() < len(self._event_shape) or expected != got:
            raise ShapeError(
                "The right-most size of value must match event_shape: "
                f"{tuple(value.shape)} vs {tuple(self._event_shape)}.",
                expected=f"a series of shape {tuple(self._event_shape)}"
                + (", of any number of steps" if self._duration is None else ""),
                got=tuple(value.shape),
                hint="time is the first dimension of an event",
            )
        of_this_length = copy.copy(self)
        of_this_length._event_shape = value.shape[value.dim() - len(self._event_shape) :]
        validate_sample(of_this_length, value)


def batch_and_time(initial: Sequence[int], *others: Sequence[int]) -> tuple[torch.Size, torch.Size]:
    """Return batch shape and time shape, (T,) or (1,).

    Args:
        initial: batch shape of the initial state.
        others: batch shapes of the other parameters, their last dimension being time.

    Raises:
        ShapeError: the shapes do not broadcast.
    """
    shape = torch.Size(broadcast_shape((*initial, 1), *others))
    return shape[:-1], shape[-1:]


def require_vectors(name: str, distribution: Any, size: int) -> None:
    """Raise unless an event of the distribution is a vector of so many entries.

    Raises:
        ShapeError: it is not.
    """
    if tuple(distribution.event_shape) != (size,):
        raise ShapeError(
            f"{name} does not fit the matrices",
            expected=f"event_shape ({size},)",
            got=f"{type(distribution).__name__} with event_shape {tuple(distribution.event_shape)}",
            hint="call .to_event(1) on distributions of scalars; matrices have shapes (H, H) and (H, D)",
        )


def slice_time(factor: Any, steps: slice) -> Any:
    """Return some steps of a factor whose rightmost batch dimension is time, where it has one of more than one step."""
    shape = factor.batch_shape
    return factor[..., steps] if shape and shape[-1] > 1 else factor
