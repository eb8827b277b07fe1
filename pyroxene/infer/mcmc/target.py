"""What chains move over: a density of one flat vector, and how its positions become named values and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.distributions.transforms import Transform, identity_transform

from pyroxene._typing import Model, TensorDict
from pyroxene.density import Layout, LogDensity, Slot, log_density
from pyroxene.density.compiled import compile_density
from pyroxene.density.eager import EagerFunction, LinAlgError
from pyroxene.errors import ParameterError, PlateError, SupportError, UnsupportedError, UsageError, describe

__all__ = ["Target", "model_target", "potential_target"]


@dataclass(frozen=True)
class Target:
    """A density and the names of its coordinates; final.

    Attributes:
        density: what chains evaluate; see `chains.Density`.
        slots: each site's place in the flat vector.
        dtypes: each site's precision, in which its values are handed out.
        transforms: by site, from its support to unconstrained space; empty for a bare potential.
        log_density: the model's, None for a bare potential.
        run_model: runs the model with its data, None for a bare potential.
        function: the log density of one flat vector as Python has it.
    """

    density: Any
    slots: tuple[Slot, ...]
    dtypes: Mapping[str, torch.dtype]
    transforms: dict[str, Transform]
    log_density: LogDensity | None
    run_model: Callable[[], Any] | None
    function: Callable[[torch.Tensor], torch.Tensor]

    @property
    def dim(self) -> int:
        """The length of a position."""
        return self.slots[-1].start + self.slots[-1].size if self.slots else 0

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Each site's unconstrained shape."""
        return {slot.name: tuple(slot.shape) for slot in self.slots}

    def indices(self, name: str) -> range:
        """Return a site's coordinates in the flat vector."""
        slot = next(slot for slot in self.slots if slot.name == name)
        return range(slot.start, slot.start + slot.size)

    def split(self, z: torch.Tensor) -> TensorDict:
        """Return unconstrained values by site, shape lead + the site's, in the site's precision.

        Args:
            z: shape lead + (dim,).
        """
        return {slot.name: self._cut(slot, z).to(self.dtypes[slot.name]) for slot in self.slots}

    def join(self, values: Mapping[str, torch.Tensor], lead: tuple[int, ...] = ()) -> torch.Tensor:
        """Return positions of unconstrained values, shape lead + (dim,), float64.

        Args:
            values: by site name, shape lead + the site's.
            lead: leading dimensions.

        Raises:
            UsageError: a site is missing, unknown, or of another size.
        """
        names = [slot.name for slot in self.slots]
        if set(values) != set(names):
            raise UsageError("parameters do not fit the sites", expected=sorted(names), got=sorted(values))
        parts = []
        for slot in self.slots:
            value = torch.as_tensor(values[slot.name]).detach()
            if value.numel() != math.prod(lead) * slot.size:
                raise UsageError(
                    f"the unconstrained value of site '{slot.name}' has another shape",
                    site=slot.name,
                    expected=f"shape {(*lead, *slot.shape)}",
                    got=describe(value),
                )
            parts.append(value.to("cpu", torch.float64).reshape(*lead, slot.size))
        return torch.cat(parts, -1) if parts else torch.zeros(*lead, 0, dtype=torch.float64)

    def constrain(self, z: torch.Tensor, names: set[str] | None = None) -> TensorDict:
        """Return values on their supports by site, shape lead + the site's, in the site's precision, on its device.

        Args:
            z: shape lead + (dim,).
            names: only these sites.
        """
        if self.log_density is not None:
            z = z.to(self.log_density.device)
        with torch.no_grad():
            return {
                slot.name: slot.to_support(self._cut(slot, z)).to(self.dtypes[slot.name])
                for slot in self.slots
                if names is None or slot.name in names
            }

    def potential(self, params: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return minus the log density at unconstrained values by site, a scalar, differentiable."""
        parts = [torch.as_tensor(params[slot.name]).reshape(-1) for slot in self.slots]
        return -self.function(torch.cat(parts) if parts else torch.zeros(0))

    @staticmethod
    def _cut(slot: Slot, z: torch.Tensor) -> torch.Tensor:
        return z[..., slot.start : slot.start + slot.size].reshape(z.shape[:-1] + slot.shape)


def _with_transforms(slots: tuple[Slot, ...], transforms: Mapping[str, Transform]) -> tuple[Slot, ...]:
    """Put a user's transforms (from supports to unconstrained space) in the place of our own."""
    unknown = set(transforms) - {slot.name for slot in slots}
    if unknown:
        raise UsageError(
            "transforms are given for sites that are not there",
            expected=sorted(slot.name for slot in slots),
            got=sorted(unknown),
        )
    return tuple(
        replace(slot, transform=transforms[slot.name].inv, is_identity=False) if slot.name in transforms else slot
        for slot in slots
    )


def _renumbered(slots: list[Slot]) -> tuple[Slot, ...]:
    result, start = [], 0
    for slot in slots:
        result.append(replace(slot, start=start))
        start += slot.size
    return tuple(result)


CHECKED_POINTS = 50
"""A model whose parameters are legal in a part of its space only is found fine at one of so many random points."""


def _checked_density(model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> LogDensity:
    """Make the density, which runs the model once with all checks on; anew where the point, not the model, may be bad.

    Raises:
        SiteError: the checks failed at every point.
    """
    for last in (False,) * (CHECKED_POINTS - 1) + (True,):
        try:
            return log_density(model, *args, **kwargs)
        except (ParameterError, SupportError, LinAlgError):
            if last:
                raise
    raise AssertionError("the last round returns or raises")


def model_target(
    model: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    transforms: Mapping[str, Transform] | None = None,
    engine: str = "auto",
    first: tuple[str, ...] = (),
) -> Target:
    """Return what chains move over for a model and its data.

    Args:
        model: the model.
        args: its arguments.
        kwargs: its keyword arguments.
        transforms: by site, from its support to unconstrained space, in the place of our own.
        engine: "auto", "eager", "native" or "inductor".
        first: sites whose coordinates are to come first.

    Raises:
        UnsupportedError: a plate subsamples.
        SupportError: a latent site is discrete.
    """
    try:
        density = _checked_density(model, args, kwargs)
    except PlateError as error:  # Pyro raises NotImplementedError
        raise UnsupportedError(
            f"HMC and NUTS need all the data: {error.what}", plate=error.plate, source=error.source,
            expected=error.expected, got=error.got, hint=error.hint,
        ) from error  # fmt: skip
    slots = density.layout.slots
    if transforms:
        slots = _with_transforms(slots, transforms)
    if first:
        named = {slot.name: slot for slot in slots}
        slots = _renumbered([named.pop(name) for name in first if name in named] + list(named.values()))
    density = replace(density, layout=Layout(slots))
    latent = density.structure.latent_sites
    dtypes = {slot.name: latent[slot.name]["value"].dtype for slot in slots}
    return Target(
        compile_density(density, engine),
        slots,
        dtypes,
        {slot.name: slot.transform.inv for slot in slots},
        density,
        lambda: model(*args, **kwargs),
        density,
    )


def potential_target(
    potential_fn: Callable[[TensorDict], torch.Tensor],
    initial_params: Mapping[str, torch.Tensor],
    lead: int,
    transforms: Mapping[str, Transform] | None = None,
    engine: str = "auto",
) -> Target:
    """Return what chains move over for a potential.

    Args:
        potential_fn: from unconstrained values by name to minus the log density, a scalar.
        initial_params: starting values, which tell names, shapes and precision.
        lead: how many leading dimensions of them are chains'.
        transforms: by name, from a value's support to unconstrained space, for the draws that are handed out.
        engine: "auto", "eager", "native" or "inductor".
    """
    slots: list[Slot] = []
    for name, value in initial_params.items():
        shape = torch.Size(value.shape[lead:])
        start = slots[-1].start + slots[-1].size if slots else 0
        slots.append(Slot(name, start, math.prod(shape), shape, 0, 0, identity_transform, True))
    dtypes = {
        name: value.dtype if value.is_floating_point() else torch.get_default_dtype()
        for name, value in initial_params.items()
    }
    placed = _with_transforms(tuple(slots), transforms or {})

    def function(z: torch.Tensor) -> torch.Tensor:
        return -potential_fn({slot.name: Target._cut(slot, z) for slot in slots})

    dim = slots[-1].start + slots[-1].size if slots else 0
    device = next(iter(initial_params.values())).device if initial_params else None
    bare: Any = EagerFunction(function, dim, device)  # neither layout nor data: chains ask for value and gradient alone
    return Target(compile_density(bare, engine), placed, dtypes, dict(transforms or {}), None, None, function)
