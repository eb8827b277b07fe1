"""Named values on their supports, and one flat unconstrained vector: the only home of unconstraining."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributions.transforms import ComposeTransform, IndependentTransform, Transform

from pyroxene._typing import TensorDict
from pyroxene.distributions.transforms import biject_to
from pyroxene.distributions.util import broadcast_shape, sum_rightmost
from pyroxene.errors import CannotSampleError, SiteError, SupportError, describe

__all__ = ["Layout", "Slot", "helpful_support_errors"]


@contextmanager
def helpful_support_errors(site: Mapping[str, Any], raise_warnings: bool = False) -> Iterator[None]:
    """Turn a support without a bijection into an error that names the site and a way out.

    Args:
        site: a sample site's message.
        raise_warnings: kept for programs that pass it.

    Raises:
        SupportError: (a ValueError) inside the block no bijection was found for the site's support.
    """
    try:
        yield
    except CannotSampleError:  # the support is not what is wrong
        raise
    except NotImplementedError as error:
        support = repr(site["fn"].support).lower()
        name, fn = site["name"], site["fn"]
        if getattr(fn.support, "is_discrete", False) or "integer" in support or "boolean" in support:
            what = f"Continuous inference cannot handle discrete sample site '{name}'"
            hint = "sum it out, block it from the guide with poutine.block, or give it a guide of its own"
        elif "sphere" in support:
            what = f"Continuous inference cannot handle sample site '{name}' on a sphere"
            hint = "poutine.reparam(config={...: ProjectedNormalReparam()})"
        else:
            what = f"Continuous inference cannot handle sample site '{name}': no bijection to its support"
            hint = "choose a distribution whose support biject_to knows, or register one with biject_to.register"
        raise SupportError(
            what, site=name, source=site.get("source"), expected="a continuous support", got=fn.support, hint=hint
        ) from error


def _is_identity(transform: Transform) -> bool:
    """Say whether a transform is the empty composition, perhaps over event dimensions."""
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return isinstance(transform, ComposeTransform) and not transform.parts


@dataclass(frozen=True)
class Slot:
    """One latent site's place in the flat vector; final.

    Attributes:
        name: the site's name.
        start: its first position.
        size: how many positions it takes.
        shape: of its unconstrained value, batch_shape + unconstrained event shape.
        event_dim: how many of those dimensions are event dimensions.
        value_event_dim: how many event dimensions the value on the support has.
        transform: from the unconstrained value to the support.
        is_identity: whether the support is unconstrained, so that the transform changes nothing.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.density import trace_structure
        >>> model = lambda: pyroxene.sample("w", dist.Dirichlet(torch.ones(3)))
        >>> (site,) = trace_structure(model).latent_sites.values()
        >>> slot = Slot.of(site, start=0)
        >>> slot.size, slot.to_support(slot.cut(torch.zeros(2)))
        (2, tensor([0.3333, 0.3333, 0.3333]))
    """

    name: str
    start: int
    size: int
    shape: torch.Size
    event_dim: int
    value_event_dim: int
    transform: Transform
    is_identity: bool

    @staticmethod
    def of(site: Mapping[str, Any], start: int) -> Slot:
        """Place a sample site, whose message holds a value on its support.

        Args:
            site: its message.
            start: its first position in the flat vector.

        Raises:
            SupportError: its support has no bijection.
            SiteError: its value is no tensor.
        """
        fn, value = site["fn"], site["value"]
        with helpful_support_errors(site):
            transform = biject_to(fn.support)
        if not isinstance(value, torch.Tensor):
            raise SiteError(
                f"latent site '{site['name']}' is no tensor", site=site["name"], expected="a torch.Tensor", got=value
            )
        with torch.no_grad():
            shape = transform.inv(value).shape
        event_dim = fn.event_dim + len(shape) - value.dim()
        is_identity = _is_identity(transform)
        return Slot(site["name"], start, math.prod(shape), shape, event_dim, fn.event_dim, transform, is_identity)

    def cut(self, z: torch.Tensor) -> torch.Tensor:
        """Return this site's unconstrained value out of a flat vector, shape sample_shape + `shape`.

        Args:
            z: shape sample_shape + (dim,); sample dimensions that a plate aligned with the site's batch are merged.
        """
        part = z[..., self.start : self.start + self.size]
        if z.dim() == 1:
            return part.reshape(self.shape)
        return part.reshape(broadcast_shape(self.shape, z.shape[:-1] + (1,) * self.event_dim))

    def to_support(self, unconstrained: torch.Tensor) -> torch.Tensor:
        """Return the value on the support; the same tensor where the support is unconstrained."""
        if self.is_identity:
            return unconstrained
        value: torch.Tensor = self.transform(unconstrained)
        return value

    def log_jacobian(self, value: torch.Tensor, unconstrained: torch.Tensor) -> torch.Tensor | float:
        """Return log |d value / d unconstrained|, of the site's batch shape; the number 0.0 of an identity."""
        if self.is_identity:
            return 0.0
        log_jacobian = self.transform.log_abs_det_jacobian(unconstrained, value)
        extra = log_jacobian.dim() - unconstrained.dim() + self.event_dim
        return sum_rightmost(log_jacobian, extra) if extra else log_jacobian


@dataclass(frozen=True)
class Layout:
    """Where each latent site lives in one flat unconstrained vector; final.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.density import trace_structure
        >>> def model():
        ...     pyroxene.sample("a", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("w", dist.Dirichlet(torch.ones(3)))
        >>> layout = Layout.of(trace_structure(model).latent_sites.values())
        >>> layout.dim, {name: tuple(value.shape) for name, value in layout.constrain(torch.zeros(3)).items()}
        (3, {'a': (), 'w': (3,)})
    """

    slots: tuple[Slot, ...]

    @staticmethod
    def of(sites: Iterable[Mapping[str, Any]]) -> Layout:
        """Lay out sample sites in their order."""
        slots: list[Slot] = []
        start = 0
        for site in sites:
            slots.append(Slot.of(site, start))
            start += slots[-1].size
        return Layout(tuple(slots))

    @property
    def dim(self) -> int:
        """The length of the flat vector."""
        return self.slots[-1].start + self.slots[-1].size if self.slots else 0

    def constrain(self, z: torch.Tensor) -> TensorDict:
        """Return each site's value on its support.

        Args:
            z: unconstrained, shape sample_shape + (dim,).

        Returns:
            values by site name, shape sample_shape + the site's shape.
        """
        return {slot.name: slot.to_support(slot.cut(z)) for slot in self.slots}

    def constrain_with_log_jacobian(self, z: torch.Tensor) -> tuple[TensorDict, torch.Tensor]:
        """Return the values of one point and log |d values / d z|, a scalar.

        Args:
            z: unconstrained, shape (dim,).
        """
        values: TensorDict = {}
        total = z.new_zeros(())
        for slot in self.slots:
            unconstrained = slot.cut(z)
            values[slot.name] = value = slot.to_support(unconstrained)
            if not slot.is_identity:
                total = total + torch.as_tensor(slot.log_jacobian(value, unconstrained)).sum()
        return values, total

    def unconstrain(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the flat vector of values on their supports.

        Args:
            values: by site name, shape sample_shape + the site's shape; every site of the layout.

        Returns:
            shape sample_shape + (dim,).

        Raises:
            SiteError: a site is missing, or a value's shape does not end in the site's.
        """
        parts = []
        for slot in self.slots:
            if slot.name not in values:
                raise SiteError(
                    f"no value for latent site '{slot.name}'",
                    site=slot.name,
                    expected=[s.name for s in self.slots],
                    got=sorted(values),
                )
            unconstrained = slot.transform.inv(torch.as_tensor(values[slot.name]))
            lead = unconstrained.dim() - len(slot.shape)
            if unconstrained.shape[max(lead, 0) :] != slot.shape:
                raise SiteError(
                    f"the value of latent site '{slot.name}' has another shape",
                    site=slot.name,
                    expected=f"an unconstrained shape that ends in {tuple(slot.shape)}",
                    got=describe(values[slot.name]),
                )
            parts.append(unconstrained.reshape(unconstrained.shape[:lead] + (slot.size,)))
        return torch.cat(parts, dim=-1) if parts else torch.zeros(0)
