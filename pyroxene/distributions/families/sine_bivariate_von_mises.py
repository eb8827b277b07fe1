"""SineBivariateVonMises: two angles that depend on each other, such as those along a protein's backbone."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.utils import broadcast_all

from pyroxene.distributions import constraints
from pyroxene.distributions.torch import VonMises
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import CannotSampleError, ParameterError

__all__ = ["SineBivariateVonMises"]

_NODES = 512
"""Nodes on half of the circle. They resolve a peak of concentration 10 000 anywhere to 1e-11, and any peak at 0."""
_NARROW_FROM = 1000.0  # the first angle's concentration from which the nodes crowd around its location
_BINS = 96  # of the sampler's envelope on each side of a mode, each a ninth narrower than the next
_MOST_ROUNDS = 1000


@functools.lru_cache(maxsize=1)
def _nodes() -> torch.Tensor:
    """Tangents of half the angles of the midpoint rule on (0, pi)."""
    return torch.tan(math.pi * (torch.arange(_NODES, dtype=torch.float64) + 0.5) / (2 * _NODES))


def _log_marginal(
    cos_drop: torch.Tensor, sin_squared: torch.Tensor, k1: torch.Tensor, k2: torch.Tensor, coupling: torch.Tensor
) -> torch.Tensor:
    """Log density of the first angle, up to a constant: k1 (cos - 1) + log I0(z) - k2, z^2 = k2^2 + coupling^2 sin^2.

    Args:
        cos_drop: 1 - cos of the angle.
        sin_squared: squared sine of the angle.
        k1: concentration of the first angle.
        k2: concentration of the second.
        coupling: the correlation parameter.
    """
    extra = coupling**2 * sin_squared
    z = (k2**2 + extra).sqrt()
    return -k1 * cos_drop + torch.special.i0e(z).log() + extra / (z + k2)


def _offset(angle: torch.Tensor) -> torch.Tensor:
    """The angle between -pi and pi."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


class SineBivariateVonMises(TorchDistribution):
    """Unimodal or bimodal distribution of two dependent angles on the torus.

    The density at (phi, psi) is exp(k1 cos(phi - m1) + k2 cos(psi - m2) + r sin(phi - m1) sin(psi - m2)) / C, where
    C = 4 pi^2 sum_m binom(2m, m) (r^2 / (4 k1 k2))^m I_m(k1) I_m(k2). Here log C comes from an integral over the first
    angle, in which all terms are positive. It has one mode where r^2 I1(k2) <= k1 k2 I0(k2), else two for the first
    angle. The support is pairs of real angles, the density has period 2 pi, samples lie between -pi and pi. The mean
    direction is (m1, m2).

    Args:
        phi_loc: m1, location of the first angle in radians, shape batch_shape.
        psi_loc: m2, location of the second angle in radians, shape batch_shape.
        phi_concentration: k1, concentration of the first angle, positive, shape batch_shape.
        psi_concentration: k2, concentration of the second angle, positive, shape batch_shape.
        correlation: r, dependence of the angles, any real number, shape batch_shape.
        weighted_correlation: r / sqrt(k1 k2), in place of `correlation`; below 1 in size there is one mode.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither of the correlations are given.

    Source: Singh, Hnizdo and Demchuk (2002), Probabilistic model for two dependent circular variables.

    Example:
        >>> d = SineBivariateVonMises(0.1, 0.2, 2.0, 3.0, correlation=1.0)
        >>> d.log_prob(torch.tensor([0.5, 0.6]))
        tensor(-1.3755)
    """

    arg_constraints = {
        "phi_loc": constraints.real,
        "psi_loc": constraints.real,
        "phi_concentration": constraints.positive,
        "psi_concentration": constraints.positive,
        "correlation": constraints.real,
    }
    support = constraints.independent(constraints.real, 1)

    def __init__(
        self,
        phi_loc: torch.Tensor | float,
        psi_loc: torch.Tensor | float,
        phi_concentration: torch.Tensor | float,
        psi_concentration: torch.Tensor | float,
        correlation: torch.Tensor | float | None = None,
        weighted_correlation: torch.Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (correlation is None) == (weighted_correlation is None):
            raise ParameterError(
                "give one of correlation and weighted_correlation",
                got="neither" if correlation is None else "both",
                hint="weighted_correlation is correlation / sqrt(phi_concentration * psi_concentration)",
            )
        given: Any = weighted_correlation if correlation is None else correlation
        m1, m2, k1, k2, r = broadcast_all(phi_loc, psi_loc, phi_concentration, psi_concentration, given)
        if correlation is None:
            r = r * (k1 * k2).sqrt()
        self.phi_loc, self.psi_loc, self.phi_concentration, self.psi_concentration, self.correlation = m1, m2, k1, k2, r
        super().__init__(m1.shape, torch.Size((2,)), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, *args: Sequence[int], **arg_shapes: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(broadcast_shape(*map(tuple, args), *map(tuple, arg_shapes.values()))), torch.Size((2,))

    def expand(self, batch_shape: Size, _instance: Any = None) -> SineBivariateVonMises:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        names = ("phi_loc", "psi_loc", "phi_concentration", "psi_concentration", "correlation")
        values = {name: getattr(self, name).expand(torch.Size(batch_shape)) for name in names}
        SineBivariateVonMises.__init__(new, **values, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _log_norm(self) -> torch.Tensor:
        """The log of C exp(-k1 - k2)."""
        k1, k2, r = (each.unsqueeze(-1) for each in (self.phi_concentration, self.psi_concentration, self.correlation))
        # the nodes' tangents, drawn in by a Moebius map of the circle where the concentration is large
        narrow = (1 + k1 / _NARROW_FROM).rsqrt()
        node = _nodes().to(k1)
        tangent = narrow * node
        squared = tangent**2
        cos_drop, sin_squared = 2 * squared / (1 + squared), 4 * squared / (1 + squared) ** 2
        slope = (narrow * (1 + node**2) / (1 + squared)).log()
        terms = _log_marginal(cos_drop, sin_squared, k1, k2, r) + slope
        return terms.logsumexp(-1) + math.log(4 * math.pi**2 / _NODES)

    @property
    def norm_const(self) -> torch.Tensor:
        """The log of the normalising constant C, shape batch_shape."""
        return self._log_norm() + self.phi_concentration + self.psi_concentration

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of pairs of angles, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        phi, psi = value[..., 0] - self.phi_loc, value[..., 1] - self.psi_loc
        # cos - 1 without cancellation
        first = -2 * self.phi_concentration * torch.sin(phi / 2) ** 2
        second = -2 * self.psi_concentration * torch.sin(psi / 2) ** 2
        return first + second + self.correlation * torch.sin(phi) * torch.sin(psi) - self._log_norm()

    def _mode_cosine(self, k1: torch.Tensor, k2: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        """Cosine of the first angle's mode; its log density is concave in the cosine, so bisection finds it."""
        low, high = torch.zeros_like(k1), torch.ones_like(k1)
        for _ in range(60):
            y = (low + high) / 2
            z = (k2**2 + r**2 * (1 - y**2)).sqrt()
            rising = k1 > r**2 * y * torch.special.i1e(z) / torch.special.i0e(z) / z
            low, high = torch.where(rising, y, low), torch.where(rising, high, y)
        return high

    def _sample_first(self, shape: torch.Size, k1: torch.Tensor, k2: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        """Draw the first angle from its marginal, less its location, between 0 and pi.

        The log density is concave in the cosine: below the mode's angle it rises, above it falls. So its greatest value
        in a bin is at the end that is nearer the mode. Bins that shrink towards the mode fit any concentration.
        """

        def density(angle: torch.Tensor) -> torch.Tensor:
            squares = 2 * torch.sin(angle / 2) ** 2, torch.sin(angle) ** 2
            return _log_marginal(*squares, k1.unsqueeze(-1), k2.unsqueeze(-1), r.unsqueeze(-1))

        mode = torch.acos(self._mode_cosine(k1, k2, r)).unsqueeze(-1)
        ratio = 8 / 9
        steps = torch.cat([ratio ** torch.arange(_BINS, dtype=k1.dtype, device=k1.device), k1.new_zeros(1)])
        near, far = steps[1:], steps[:-1]
        begins = torch.cat([mode - mode * near, mode + (math.pi - mode) * near], -1)  # ends nearer the mode
        ends = torch.cat([mode - mode * far, mode + (math.pi - mode) * far], -1)
        bound = density(begins)
        bins = torch.distributions.Categorical(logits=bound + (ends - begins).abs().log(), validate_args=False)
        value = torch.zeros(shape, dtype=k1.dtype, device=k1.device)
        waiting = torch.ones(shape, dtype=torch.bool, device=k1.device)
        lead = shape[: len(shape) - k1.dim()]
        for _ in range(_MOST_ROUNDS):
            if not waiting.any():
                return value
            which = bins.sample(lead).unsqueeze(-1)
            begin, end, top = (each.expand(shape + each.shape[-1:]).gather(-1, which) for each in (begins, ends, bound))
            proposed = begin + (end - begin) * torch.rand_like(begin)
            accept = (torch.rand_like(begin).log() < density(proposed) - top).squeeze(-1)
            value = torch.where(waiting & accept, proposed.squeeze(-1), value)
            waiting = waiting & ~accept
        raise CannotSampleError("SineBivariateVonMises cannot be sampled", hint="look for nan among the parameters")

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw exact samples, (*sample_shape, *batch_shape, 2): the first angle by rejection, the second given it."""
        shape = torch.Size(sample_shape) + self._batch_shape
        dtype = self.phi_concentration.dtype
        k1, k2, r = (each.double() for each in (self.phi_concentration, self.psi_concentration, self.correlation))
        phi = self._sample_first(shape, k1, k2, r)
        phi = torch.where(torch.rand(shape, device=phi.device) < 0.5, phi, -phi)
        tilt = r * torch.sin(phi)
        psi = VonMises(torch.atan2(tilt, k2.expand(shape)), torch.hypot(k2, tilt)).sample()
        pair = torch.stack([phi + self.phi_loc, psi + self.psi_loc], -1).to(dtype)
        return _offset(pair)

    @property
    def mean(self) -> torch.Tensor:
        """The mean direction of each angle, (*batch_shape, 2)."""
        return torch.stack([self.phi_loc, self.psi_loc], -1)
