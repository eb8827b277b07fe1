"""Mixtures: MixtureGeneral, of components of any families, and Mixture, which chooses the class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints, tails
from pyroxene.distributions.families.masked_mixture import _possible
from pyroxene.distributions.torch.composed import MixtureSameFamily
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["Mixture", "MixtureGeneral"]

Tensor = torch.Tensor


class MixtureGeneral(TorchDistribution):
    """Mixture of distributions that may be of different families.

    The density is the sum over k of w_k p_k(x), where w are the probabilities of the mixing distribution and p_k is the
    density of component k. Mean sum_k w_k m_k, variance sum_k w_k (v_k + (m_k - mean)^2), where m and v are the means
    and variances of the components.

    Args:
        mixing_distribution: a Categorical over the components, whose batch shape broadcasts with theirs.
        component_distributions: one distribution for each category, all of the same event shape.
        support: the support of the mixture, such as the union of the components'. None where all components have the
            same one. With a support given, a component gives no density to a value outside of its own.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Support: as given, else that of every component.

    Raises:
        ParameterError: the number of components is not that of the categories, supports differ while `support` is not
            given, or discrete and continuous components are mixed, which have no common density.
        ShapeError: event shapes differ, or batch shapes do not broadcast.

    Source: G. McLachlan and D. Peel (2000), Finite mixture models, section 1.4. NumPyro has the name and the
    parameters.

    Example:
        >>> from pyroxene.distributions import Categorical, Cauchy, Normal
        >>> weights = Categorical(torch.tensor([0.25, 0.75]))
        >>> d = MixtureGeneral(weights, [Normal(0.0, 1.0), Cauchy(0.0, 1.0)])
        >>> d.log_prob(torch.tensor(0.0)), d.cdf(torch.tensor(1.0))
        (tensor(-1.0833), tensor(0.7728))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(
        self,
        mixing_distribution: Any,
        component_distributions: Sequence[Any],
        *,
        support: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        components = list(component_distributions)
        _check_components(mixing_distribution, components)
        if support is None and not all(_is_same(components[0].support, d.support) for d in components[1:]):
            raise ParameterError(
                "the components of MixtureGeneral have different supports",
                expected="one support, or the argument `support`",
                got=", ".join(str(d.support) for d in components),
                hint="pass the support of the mixture as support=",
            )
        shape = torch.Size(broadcast_shape(mixing_distribution.batch_shape, *(d.batch_shape for d in components)))
        self._support = support
        self.mixing_distribution = _to_shape(mixing_distribution, shape)
        self.component_distributions = [_to_shape(d, shape) for d in components]
        super().__init__(shape, components[0].event_shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> Any:
        """The support that was given, or the one that the components share."""
        return self.component_distributions[0].support if self._support is None else self._support

    @property
    def mixture_size(self) -> int:
        """The number of components."""
        return len(self.component_distributions)

    def expand(self, batch_shape: Size, _instance: Any = None) -> MixtureGeneral:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(MixtureGeneral, _instance)
        batch_shape = torch.Size(batch_shape)
        new._support = self._support
        new.mixing_distribution = self.mixing_distribution.expand(batch_shape)
        new.component_distributions = [d.expand(batch_shape) for d in self.component_distributions]
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw from every component and choose one of the draws; samples carry no gradients."""
        with torch.no_grad():
            draws = [d.sample(sample_shape) for d in self.component_distributions]
            is_chosen = self.mixing_distribution.sample(sample_shape)
            is_chosen = is_chosen.reshape(is_chosen.shape + (1,) * self.event_dim)
            value = draws[0]
            for k, other in enumerate(draws[1:], start=1):
                value = torch.where(is_chosen == k, other, value)
            return value

    def component_log_probs(self, value: Tensor) -> Tensor:
        """Return the log of weight times density of each component, (*sample_shape, *batch_shape, mixture_size).

        Their softmax over the last dimension is the probability of each component given the value.
        """
        densities = torch.broadcast_tensors(*(self._component_log_prob(d, value) for d in self.component_distributions))
        return self.mixing_distribution.logits + torch.stack(densities, -1)

    def _component_log_prob(self, component: Any, value: Tensor) -> Tensor:
        """The log density of a component, -inf outside of its support, where it is asked about a value it can have."""
        if self._support is None:
            return component.log_prob(value)
        inside = component.support.check(value)
        wide = inside.reshape(inside.shape + (1,) * self.event_dim)
        log_density = component.log_prob(torch.where(wide, value, _possible(component, value)))
        return torch.where(inside, log_density, -torch.inf)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, -inf where no component can have the value."""
        if self._validate_args:
            self._validate_sample(value)
        return _log_sum(self.component_log_probs(value))

    def _log_tail(self, tail: Callable[[Any, Tensor], Tensor], value: Tensor) -> Tensor:
        parts = torch.broadcast_tensors(*(tail(d, value) for d in self.component_distributions))
        return _log_sum(self.mixing_distribution.logits + torch.stack(parts, -1))

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return the log of the probability of no greater value, finite in the tails.

        Raises:
            NotImplementedError: a component has no distribution function.
        """
        return self._log_tail(tails.log_cdf, value)

    def log_survival(self, value: Tensor) -> Tensor:
        """Return the log of the probability of a greater value; see `log_cdf`."""
        return self._log_tail(tails.log_survival, value)

    def _weights(self) -> Tensor:
        """The probabilities of the components, first, with dimensions for the event."""
        weights = self.mixing_distribution.probs.movedim(-1, 0)
        return weights.reshape(weights.shape + (1,) * self.event_dim)

    @property
    def mean(self) -> Tensor:
        """The weighted mean of the components' means, shape (*batch_shape, *event_shape)."""
        return sum(w * d.mean for w, d in zip(self._weights(), self.component_distributions))

    @property
    def variance(self) -> Tensor:
        """The mean of the variances and the variance of the means, shape (*batch_shape, *event_shape)."""
        mean = self.mean
        return sum(
            w * (d.variance + (d.mean - mean).square()) for w, d in zip(self._weights(), self.component_distributions)
        )

    def __repr__(self) -> str:
        components = ", ".join(str(d) for d in self.component_distributions)
        return f"MixtureGeneral({self.mixing_distribution}, [{components}])"


def Mixture(
    mixing_distribution: Any, component_distributions: Any, *, validate_args: bool | None = None
) -> MixtureSameFamily | MixtureGeneral:
    """Return a mixture: MixtureSameFamily for one batch of components, MixtureGeneral for a list of them.

    The density is the sum over k of w_k p_k(x); see the two classes for the moments.

    Args:
        mixing_distribution: a Categorical over the components.
        component_distributions: a distribution whose rightmost batch dimension counts the components, or a list of
            distributions, which may be of different families over the same support.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Source: NumPyro has a function of this name and parameters.

    Example:
        >>> from pyroxene.distributions import Categorical, Normal
        >>> weights, locs = Categorical(torch.tensor([0.25, 0.75])), torch.tensor([0.0, 1.0])
        >>> Mixture(weights, Normal(locs, 1.0)).log_prob(torch.tensor(0.0))
        tensor(-1.2686)
        >>> Mixture(weights, [Normal(locs[0], 1.0), Normal(locs[1], 1.0)]).log_prob(torch.tensor(0.0))
        tensor(-1.2686)
    """
    if isinstance(component_distributions, (list, tuple)):
        return MixtureGeneral(mixing_distribution, component_distributions, validate_args=validate_args)
    return MixtureSameFamily(mixing_distribution, component_distributions, validate_args=validate_args)


def _log_sum(logs: Tensor) -> Tensor:
    """Log of the sum over the last dimension, with a finite gradient where it is -inf, as outside of every support."""
    nothing = logs.amax(-1, keepdim=True) == -torch.inf
    total = torch.logsumexp(torch.where(nothing, 0.0, logs), -1)
    return torch.where(nothing.squeeze(-1), -torch.inf, total)


def _to_shape(d: Any, shape: torch.Size) -> Any:
    """The distribution with a batch shape."""
    return d if d.batch_shape == shape else d.expand(shape)


def _check_components(mixing: Any, components: list[Any]) -> None:
    """Raise where components do not fit each other or the mixing distribution."""
    if not isinstance(mixing, torch.distributions.Categorical):
        raise ParameterError(
            "the mixing distribution of MixtureGeneral must be a Categorical", expected="Categorical", got=mixing
        )
    count = mixing.logits.shape[-1]
    if len(components) != count:
        raise ParameterError(
            "MixtureGeneral needs a component for each category",
            expected=f"{count} components",
            got=f"{len(components)}",
            hint="let the weights' last dimension be as long as the list of components",
        )
    if any(d.event_shape != components[0].event_shape for d in components):
        raise ShapeError(
            "components event_shape disagree",
            expected="one event shape",
            got=", ".join(str(tuple(d.event_shape)) for d in components),
            hint="declare the same number of dimensions with to_event",
        )
    if any(d.support.is_discrete != components[0].support.is_discrete for d in components):
        raise ParameterError(
            "MixtureGeneral cannot mix discrete and continuous components, which have no common density",
            expected="components all discrete or all continuous",
            got=", ".join(type(d).__name__ for d in components),
            hint="for extra mass at zero use ZeroInflatedDistribution or HurdleDistribution",
        )


def _is_same(first: Any, second: Any) -> bool:
    """Whether two constraints are the same, as far as can be told: of one type, with the same bounds."""
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    ours, theirs = vars(first), vars(second)
    return ours.keys() == theirs.keys() and all(_is_equal(ours[name], theirs[name]) for name in ours)


def _is_equal(first: Any, second: Any) -> bool:
    if isinstance(first, constraints.Constraint):
        return _is_same(first, second)
    return bool(torch.as_tensor(first == second).all())
