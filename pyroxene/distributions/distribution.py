"""The interface of every distribution: what a sample statement, a guide and an estimator may ask of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch

from pyroxene.distributions.score_parts import ScoreParts
from pyroxene.errors import UsageError

__all__ = ["Distribution"]

D = TypeVar("D", bound="Distribution")


class Distribution:
    """Abstract: a stochastic function, called to draw a sample.

    Implementing a distribution:
        - With a batch and an event shape: subclass `TorchDistribution` rather than this.
        - Otherwise define `sample` and `log_prob`.
        - Set `has_rsample` and define `rsample` where samples carry gradients to the parameters.
        - Set `has_enumerate_support` and define `enumerate_support` where the support is finite.
        - Override `score_parts` where samples are partly reparameterised.
        - Define `conjugate_update` where the family is closed under products.
    """

    if TYPE_CHECKING:  # a property where it follows from another distribution, else a class attribute

        @property
        def has_rsample(self) -> bool:
            """Whether samples carry gradients to the parameters."""

        @property
        def has_enumerate_support(self) -> bool:
            """Whether the support is finite and can be listed."""

    else:
        has_rsample = False
        has_enumerate_support = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Draw a sample, reparameterised where the distribution can; `sample` where a class says nothing else."""
        return self.sample(*args, **kwargs)

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        """Draw a sample without gradients."""
        raise NotImplementedError(f"{type(self).__name__} does not define sample")

    def log_prob(self, x: Any) -> torch.Tensor:
        """Return the log density of each value, shape batch_shape; may be -inf.

        Args:
            x: a value or a batch of values.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def score_parts(self, x: Any) -> ScoreParts:
        """Return the parts of a gradient estimate at a value.

        The default suits a distribution that is either fully reparameterised or not at all.

        Args:
            x: a value or a batch of values.

        Returns:
            log_prob with 0 for the score function where `has_rsample`, else with 0 for the entropy term.
        """
        log_prob = self.log_prob(x)
        if self.has_rsample:
            return ScoreParts(log_prob=log_prob, score_function=0, entropy_term=log_prob)
        return ScoreParts(log_prob=log_prob, score_function=log_prob, entropy_term=0)

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """Return all values of the support along a new first dimension.

        Args:
            expand: also expand the values over the batch shape; otherwise its dimensions have size 1.

        Returns:
            Values, (cardinality, *batch_shape, *event_shape) or (cardinality, 1, ..., *event_shape).

        Raises:
            NotImplementedError: the support is not finite, or cannot be listed in lock-step over the batch.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot enumerate its support")

    def conjugate_update(self, other: Any) -> tuple[Any, torch.Tensor]:
        """Multiply this density by that of a conjugate distribution.

        Args:
            other: a distribution over the same values, such as the likelihood of data seen as a function of them.

        Returns:
            (updated, log_normalizer) with
            `self.log_prob(x) + other.log_prob(x) == updated.log_prob(x) + log_normalizer` for every x.

        Raises:
            NotImplementedError: the family is not closed under products.
        """
        raise NotImplementedError(f"{type(self).__name__} does not support .conjugate_update()")

    def has_rsample_(self: D, value: bool) -> D:
        """Set whether samples are reparameterised, in place, to choose between estimators.

        Args:
            value: False makes gradient estimators treat samples as not reparameterised.

        Returns:
            The distribution itself.

        Raises:
            UsageError: the value is neither True nor False.
        """
        if value is not True and value is not False:
            raise UsageError(f"Expected value in [False,True], actual {value}", hint="call has_rsample_(False)")
        self.has_rsample = value  # type: ignore[misc]  # fails where it is a property
        return self
