"""Mixtures of normal distributions with diagonal covariances, with pathwise gradients for all their parameters.

A velocity field v says how samples of density q move as a parameter changes. Any v with div(q v) = -dq/d(parameter)
gives unbiased gradients. For q = sum_k p_k q_k these are used:

- location or scale of component k: the field of that component, weighted by the component's posterior probability;
- logit of component j: p_j times the sum over k of p_k v_jk, where v_jk carries mass from component k to component j,
so
  div(q v_jk) = q_k - q_j. Each class below has the v_jk that suits its components.

Source: M. Jankowiak and T. Karaletsos (2019), Pathwise Derivatives for Multivariate Distributions, AISTATS; M.
    Jankowiak
and F. Obermeyer (2018), Pathwise Derivatives Beyond the Reparameterization Trick, ICML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ShapeError

__all__ = ["GaussianScaleMixture", "MixtureOfDiagNormals", "MixtureOfDiagNormalsSharedCovariance"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def _moved(parameter: torch.Tensor) -> torch.Tensor:
    """Zero, with the gradient of the parameter."""
    return parameter - parameter.detach()


def _normal_between(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Probability that a standard normal variable lies between, negative where low > high; from the nearer tail."""
    sign = torch.where(low + high > 0, -1.0, 1.0).to(low.dtype)
    return sign * (torch.special.ndtr(sign * high) - torch.special.ndtr(sign * low))


class _DiagonalMixture(TorchDistribution):
    """Abstract: K normal components of D independent entries each.

    Implementing a mixture: name its parameters in `_event_dims`, set them in `__init__` through `_set`, and define
    `_components`, which gives locations and scales, (*batch_shape, K, D), and `_parameter_motion`.
    """

    support = constraints.real_vector
    has_rsample = True
    _event_dims: ClassVar[dict[str, int]]
    component_logits: torch.Tensor

    def _set(
        self, parameters: dict[str, torch.Tensor], sizes: dict[str, tuple[int, ...]], dim: int, check: Any
    ) -> None:
        """Check the parameters' rightmost sizes, broadcast the rest, and keep them."""
        for name, parameter in parameters.items():
            size = sizes[name]
            if parameter.dim() < len(size) or parameter.shape[parameter.dim() - len(size) :] != size:
                raise ShapeError(
                    f"{name} of {type(self).__name__} does not fit the other parameters",
                    expected=f"shape ending in {size}",
                    got=f"shape {tuple(parameter.shape)}",
                )
        batch_shape = torch.Size(
            broadcast_shape(*(p.shape[: p.dim() - len(sizes[name])] for name, p in parameters.items()))
        )
        for name, parameter in parameters.items():
            setattr(self, name, parameter.expand(batch_shape + torch.Size(sizes[name])))
        super().__init__(batch_shape, torch.Size((dim,)), validate_args=check)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        for name, event_dim in self._event_dims.items():
            parameter = getattr(self, name)
            setattr(new, name, parameter.expand(batch_shape + parameter.shape[parameter.dim() - event_dim :]))
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @classmethod
    def infer_shapes(cls, *args: Any, **arg_shapes: Any) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        arg_shapes.update(zip(cls._event_dims, args))
        shapes = [(tuple(shape), cls._event_dims[name]) for name, shape in arg_shapes.items()]
        batch_shape = broadcast_shape(*(shape[: len(shape) - event_dim] for shape, event_dim in shapes))
        return torch.Size(batch_shape), torch.Size(arg_shapes["coord_scale"][-1:])

    def _components(self) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError

    def _log_joint(self, value: torch.Tensor) -> torch.Tensor:
        """Log of each component's probability times its density, (..., K)."""
        locs, scales = self._components()
        standard = (value.unsqueeze(-2) - locs) / scales
        log_density = -(0.5 * standard.square() + scales.log() + _HALF_LOG_TWO_PI).sum(-1)
        return torch.log_softmax(self.component_logits, -1) + log_density

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density."""
        if self._validate_args:
            self._validate_sample(value)
        return torch.logsumexp(self._log_joint(value), -1)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample; first-order gradients reach all parameters along paths that move the mixture's mass."""
        locs, scales = self._components()
        shape = torch.Size(sample_shape) + self._batch_shape
        with torch.no_grad():
            component = torch.distributions.Categorical(logits=self.component_logits).sample(torch.Size(sample_shape))
            index = component[..., None, None].expand(*shape, 1, self._event_shape[0])
            white = torch.randn(shape + self._event_shape, dtype=locs.dtype, device=locs.device)
            loc, scale = (part.expand(shape + part.shape[-2:]).gather(-2, index).squeeze(-2) for part in (locs, scales))
            value = loc + scale * white
        if not any(getattr(self, name).requires_grad for name in self._event_dims) or not torch.is_grad_enabled():
            return value
        with torch.no_grad():
            log_joint = self._log_joint(value)
            log_density = torch.logsumexp(log_joint, -1)
            flow = self._logit_flow(value, log_density)
        responsibility = torch.exp(log_joint - log_density.unsqueeze(-1)).unsqueeze(-1)
        along_logits = (flow * _moved(self.component_logits).unsqueeze(-1)).sum(-2)
        return value + self._parameter_motion(value, responsibility) + along_logits

    def _parameter_motion(self, value: torch.Tensor, responsibility: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def _logit_flow(self, value: torch.Tensor, log_density: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    @property
    def mean(self) -> torch.Tensor:
        """The components' mean locations, shape (*batch_shape, D)."""
        weights = torch.softmax(self.component_logits, -1).unsqueeze(-1)
        return (weights * self._components()[0]).sum(-2)

    @property
    def variance(self) -> torch.Tensor:
        """Variance within components and between them, shape (*batch_shape, D)."""
        weights = torch.softmax(self.component_logits, -1).unsqueeze(-1)
        locs, scales = self._components()
        return (weights * (scales.square() + (locs - self.mean.unsqueeze(-2)).square())).sum(-2)


class MixtureOfDiagNormals(_DiagonalMixture):
    """Mixture of normal distributions, each with a diagonal covariance of its own.

    The density is sum_k p_k prod_d N(x_d; locs_kd, coord_scale_kd) with p = softmax(component_logits); the mean is
    m = sum_k p_k locs_k, the variance sum_k p_k (coord_scale_k^2 + (locs_k - m)^2). Gradients of samples with respect
    to logits cost K^2 D operations.

    Args:
        locs: means of the components, shape (*batch_shape, K, D).
        coord_scale: their standard deviations, positive, shape (*batch_shape, K, D).
        component_logits: unnormalised log probabilities of the components, shape (*batch_shape, K).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of D entries.

    Source: M. Jankowiak and T. Karaletsos (2019), Pathwise Derivatives for Multivariate Distributions.

    Example:
        >>> d = MixtureOfDiagNormals(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.ones(2, 2), torch.zeros(2))
        >>> d.log_prob(torch.zeros(2)), d.variance
        (tensor(-2.3379), tensor([2., 1.]))
    """

    arg_constraints = {
        "locs": constraints.independent(constraints.real, 2),
        "coord_scale": constraints.independent(constraints.positive, 2),
        "component_logits": constraints.real_vector,
    }
    _event_dims = {"locs": 2, "coord_scale": 2, "component_logits": 1}
    locs: torch.Tensor
    coord_scale: torch.Tensor

    def __init__(
        self,
        locs: torch.Tensor,
        coord_scale: torch.Tensor,
        component_logits: torch.Tensor,
        validate_args: bool | None = None,
    ) -> None:
        count, dim = _count_and_size(type(self).__name__, locs)
        self._set(
            {"locs": locs, "coord_scale": coord_scale, "component_logits": component_logits},
            {"locs": (count, dim), "coord_scale": (count, dim), "component_logits": (count,)},
            dim,
            validate_args,
        )

    def _components(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.locs, self.coord_scale

    def _parameter_motion(self, value: torch.Tensor, responsibility: torch.Tensor) -> torch.Tensor:
        standard = (value.unsqueeze(-2) - self.locs.detach()) / self.coord_scale.detach()
        return (responsibility * (_moved(self.locs) + standard * _moved(self.coord_scale))).sum(-2)

    def _logit_flow(self, value: torch.Tensor, log_density: torch.Tensor) -> torch.Tensor:
        """Between components j and k along one coordinate after another.

        q_k - q_j is a telescoping sum over d of a_d (k_d - j_d) b_d, with a_d the product of k's factors before d, b_d
        that of j's after d; so q v_jk = a_d b_d (J_d - K_d) in coordinate d, sign turned, capitals for distribution
        functions. The average with its mirror image is antisymmetric in j and k.
        """
        locs, scales = self._components()
        standard = (value.unsqueeze(-2) - locs) / scales
        log_factor = -0.5 * standard.square() - scales.log() - _HALF_LOG_TWO_PI
        before = log_factor.cumsum(-1) - log_factor
        after = log_factor.sum(-1, keepdim=True) - before - log_factor
        row, column = standard.unsqueeze(-2), standard.unsqueeze(-3)  # j, k
        log_rest = before.unsqueeze(-3) + after.unsqueeze(-2) - log_density[..., None, None, None]
        flow = torch.exp(log_rest) * _normal_between(row, column)
        flow = (flow - flow.transpose(-2, -3)) / 2
        weights = torch.softmax(self.component_logits, -1)
        return weights.unsqueeze(-1) * (weights[..., None, :, None] * flow).sum(-2)


class MixtureOfDiagNormalsSharedCovariance(_DiagonalMixture):
    """Mixture of normal distributions with one diagonal covariance for all.

    The density is sum_k p_k prod_d N(x_d; locs_kd, coord_scale_d) with p = softmax(component_logits); the mean is
    m = sum_k p_k locs_k, the variance coord_scale^2 + sum_k p_k (locs_k - m)^2.

    Args:
        locs: means of the components, shape (*batch_shape, K, D).
        coord_scale: standard deviations, positive, shape (*batch_shape, D).
        component_logits: unnormalised log probabilities of the components, shape (*batch_shape, K).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of D entries.

    Source: M. Jankowiak and T. Karaletsos (2019), Pathwise Derivatives for Multivariate Distributions.

    Example:
        >>> d = MixtureOfDiagNormalsSharedCovariance(torch.tensor([[-1.0], [1.0]]), torch.ones(1), torch.zeros(2))
        >>> d.log_prob(torch.zeros(1)), d.variance
        (tensor(-1.4189), tensor([2.]))
    """

    arg_constraints = {
        "locs": constraints.independent(constraints.real, 2),
        "coord_scale": constraints.independent(constraints.positive, 1),
        "component_logits": constraints.real_vector,
    }
    _event_dims = {"locs": 2, "coord_scale": 1, "component_logits": 1}
    locs: torch.Tensor
    coord_scale: torch.Tensor

    def __init__(
        self,
        locs: torch.Tensor,
        coord_scale: torch.Tensor,
        component_logits: torch.Tensor,
        validate_args: bool | None = None,
    ) -> None:
        count, dim = _count_and_size(type(self).__name__, locs)
        self._set(
            {"locs": locs, "coord_scale": coord_scale, "component_logits": component_logits},
            {"locs": (count, dim), "coord_scale": (dim,), "component_logits": (count,)},
            dim,
            validate_args,
        )

    def _components(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.locs, self.coord_scale.unsqueeze(-2).expand(self.locs.shape)

    def _parameter_motion(self, value: torch.Tensor, responsibility: torch.Tensor) -> torch.Tensor:
        standard = (value.unsqueeze(-2) - self.locs.detach()) / self.coord_scale.detach().unsqueeze(-2)
        return (responsibility * (_moved(self.locs) + standard * _moved(self.coord_scale).unsqueeze(-2))).sum(-2)

    def _logit_flow(self, value: torch.Tensor, log_density: torch.Tensor) -> torch.Tensor:
        """Between components j and k along the line that joins them, in coordinates of unit scale.

        Across the line both have the same density, so q v_jk is that times the difference of their distribution
        functions along the line.
        """
        scale = self.coord_scale.unsqueeze(-2)
        log_whitened = log_density + self.coord_scale.log().sum(-1)
        centred = (value.unsqueeze(-2) - self.locs) / scale  # (..., K, D)
        standard = self.locs / scale
        apart = standard.unsqueeze(-2) - standard.unsqueeze(-3)  # (..., j, k, D)
        distance = torch.linalg.vector_norm(apart, dim=-1)
        unit = apart / torch.where(distance > 0, distance, 1.0).unsqueeze(-1)
        along = (centred.unsqueeze(-2) * unit).sum(-1)  # of j; that of k is greater by the distance
        across = centred.square().sum(-1).unsqueeze(-1) - along.square()
        log_across = -0.5 * across - (self._event_shape[0] - 1) * _HALF_LOG_TWO_PI
        density = torch.exp(log_across - log_whitened[..., None, None])
        flow = (density * _normal_between(along, along + distance)).unsqueeze(-1) * unit
        weights = torch.softmax(self.component_logits, -1)
        return weights.unsqueeze(-1) * (weights[..., None, :, None] * flow).sum(-2) * scale


class GaussianScaleMixture(_DiagonalMixture):
    """Mixture of normal distributions around 0 whose diagonal covariances differ by a factor.

    The density is sum_k p_k prod_d N(x_d; 0, component_scale_k coord_scale_d) with p = softmax(component_logits); the
    mean is 0, the variance coord_scale^2 sum_k p_k component_scale_k^2.

    Args:
        coord_scale: scale of each coordinate, positive, shape (*batch_shape, D).
        component_logits: unnormalised log probabilities of the components, shape (*batch_shape, K).
        component_scale: scale of each component, positive, shape (*batch_shape, K).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of D entries.

    Source: M. Jankowiak and F. Obermeyer (2018), Pathwise Derivatives Beyond the Reparameterization Trick, section 4.2.

    Example:
        >>> d = GaussianScaleMixture(torch.ones(2), torch.zeros(2), torch.tensor([1.0, 2.0]))
        >>> d.log_prob(torch.zeros(2)), d.variance
        (tensor(-2.3079), tensor([2.5000, 2.5000]))
    """

    arg_constraints = {
        "coord_scale": constraints.independent(constraints.positive, 1),
        "component_logits": constraints.real_vector,
        "component_scale": constraints.independent(constraints.positive, 1),
    }
    _event_dims = {"coord_scale": 1, "component_logits": 1, "component_scale": 1}
    coord_scale: torch.Tensor
    component_scale: torch.Tensor

    def __init__(
        self,
        coord_scale: torch.Tensor,
        component_logits: torch.Tensor,
        component_scale: torch.Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if coord_scale.dim() < 1 or component_logits.dim() < 1:
            raise ShapeError(
                "GaussianScaleMixture needs a scale for each coordinate and a logit for each component",
                expected="coord_scale of shape (..., D) and component_logits of shape (..., K)",
                got=f"shapes {tuple(coord_scale.shape)} and {tuple(component_logits.shape)}",
            )
        count, dim = component_logits.shape[-1], coord_scale.shape[-1]
        self._set(
            {"coord_scale": coord_scale, "component_logits": component_logits, "component_scale": component_scale},
            {"coord_scale": (dim,), "component_logits": (count,), "component_scale": (count,)},
            dim,
            validate_args,
        )

    def _components(self) -> tuple[torch.Tensor, torch.Tensor]:
        scales = self.component_scale.unsqueeze(-1) * self.coord_scale.unsqueeze(-2)
        return torch.zeros_like(scales), scales

    def _parameter_motion(self, value: torch.Tensor, responsibility: torch.Tensor) -> torch.Tensor:
        along_coordinates = value / self.coord_scale.detach() * _moved(self.coord_scale)
        stretch = (responsibility.squeeze(-1) / self.component_scale.detach() * _moved(self.component_scale)).sum(-1)
        return along_coordinates + value * stretch.unsqueeze(-1)

    def _logit_flow(self, value: torch.Tensor, log_density: torch.Tensor) -> torch.Tensor:
        """Radially, in coordinates of unit scale, where all components are spherical.

        The mass that passes a sphere of radius r is the difference of the probabilities to lie beyond it.
        """
        size = self._event_shape[0]
        log_whitened = log_density + self.coord_scale.log().sum(-1)
        radius = torch.linalg.vector_norm(value / self.coord_scale, dim=-1)
        half = torch.full_like(radius, size / 2).unsqueeze(-1)
        beyond = torch.special.gammaincc(half, 0.5 * (radius.unsqueeze(-1) / self.component_scale).square())
        weights = torch.softmax(self.component_logits, -1)
        passing = weights * (beyond - (weights * beyond).sum(-1, keepdim=True))
        log_sphere = math.log(2) + size / 2 * math.log(math.pi) - math.lgamma(size / 2)
        radius = radius.clamp(min=torch.finfo(radius.dtype).tiny)
        density = torch.exp(-log_sphere - (size - 1) * radius.log() - log_whitened) / radius
        return (passing * density.unsqueeze(-1)).unsqueeze(-1) * value.unsqueeze(-2)


def _count_and_size(name: str, locs: torch.Tensor) -> Sequence[int]:
    """K and D of locations of shape (..., K, D)."""
    if locs.dim() < 2:
        raise ShapeError(
            f"locs of {name} needs a row for each component",
            expected="shape (..., K, D)",
            got=f"shape {tuple(locs.shape)}",
        )
    return locs.shape[-2:]
