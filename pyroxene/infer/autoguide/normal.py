"""`AutoNormal`: independent normal distributions, site by site, in unconstrained space."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

import pyroxene.distributions as dist
from pyroxene._typing import Model, TensorDict
from pyroxene.density import InitMessenger, Slot, init_to_feasible
from pyroxene.distributions import constraints
from pyroxene.infer.autoguide.guide import AutoGuide
from pyroxene.infer.autoguide.utils import (
    check_init_scale,
    deep_getattr,
    deep_setattr,
    full_size_value,
    levels_of,
)
from pyroxene.nn import PyroModule, PyroParam
from pyroxene.poutine import get_mask
from pyroxene.primitives import sample

__all__ = ["AutoNormal"]


class AutoNormal(AutoGuide):
    """Mean-field normal: each latent site is a normal variable, carried to the site's support; final.

    The parameters are `AutoNormal.locs.<site>` and `AutoNormal.scales.<site>`, both of the unconstrained variable;
    `scales` are standard deviations. Works with subsampled plates: a local site has one location and scale for each
    member of the full plate.

    Args:
        model: the model.
        init_loc_fn: gives each site its first value.
        init_scale: the first standard deviation, in unconstrained space.
        create_plates: see `AutoGuide`.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> pyroxene.clear_param_store()
        >>> guide = AutoNormal(lambda: pyroxene.sample("x", dist.HalfNormal(1.0)))
        >>> guide()["x"].shape, sorted(pyroxene.get_param_store())
        (torch.Size([]), ['AutoNormal.locs.x', 'AutoNormal.scales.x'])
    """

    scale_constraint = constraints.softplus_positive

    def __init__(
        self,
        model: Model,
        *,
        init_loc_fn: Callable[[Any], Any] = init_to_feasible,
        init_scale: float = 0.1,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        check_init_scale("AutoNormal", init_scale)
        self.init_loc_fn = init_loc_fn
        self._init_scale = init_scale
        super().__init__(model, create_plates=create_plates)
        self._slots: dict[str, Slot] = {}

    def _prepared_model(self) -> Model:
        prepared: Model = InitMessenger(self.init_loc_fn)(self.model)
        return prepared

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        self.locs = PyroModule()
        self.scales = PyroModule()
        for name, site in self._latent_sites():
            slot = self._slots[name] = Slot.of(site, 0)
            with torch.no_grad():
                loc = full_size_value(slot.transform.inv(site["value"].detach()), site, slot.event_dim)
            scale = torch.full_like(loc, self._init_scale)
            deep_setattr(self.locs, name, PyroParam(loc, constraints.real, slot.event_dim))
            deep_setattr(self.scales, name, PyroParam(scale, self.scale_constraint, slot.event_dim))

    def _get_loc_and_scale(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return deep_getattr(self.locs, name), deep_getattr(self.scales, name)

    def forward(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Run the guide; return the values on their supports by site name."""
        plates = self._begin(*args, **kwargs)
        without_density = get_mask() is False
        locs, scales = self.locs, self.scales
        values: TensorDict = {}
        for name, site in self._latent_sites():
            slot = self._slots[name]
            with self._plates_of(site, plates):
                loc, scale = deep_getattr(locs, name), deep_getattr(scales, name)
                normal = dist.Normal(loc, scale, validate_args=False)
                if slot.event_dim:
                    normal = normal.to_event(slot.event_dim)
                unconstrained = sample(f"{name}_unconstrained", normal, infer={"is_auxiliary": True})
                value = slot.to_support(unconstrained)
                log_density: Any = 0.0 if without_density else -slot.log_jacobian(value, unconstrained)
                delta = dist.Delta(value, log_density, slot.value_event_dim, validate_args=False)
                values[name] = sample(name, delta)
        return values

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Return the medians on the supports by site name, at the full size of subsampled plates."""
        self._prepare(args, kwargs)
        locs = {name: deep_getattr(self.locs, name).detach().clone() for name in self._slots}
        return {name: slot.transform(locs[name]) for name, slot in self._slots.items()}

    @torch.no_grad()
    def quantiles(self, quantiles: Iterable[float], *args: Any, **kwargs: Any) -> TensorDict:
        """Return quantiles on the supports by site name, shape (len(quantiles), *site shape).

        Args:
            quantiles: probabilities.
            args: the model's arguments, needed before the guide's first call.
            kwargs: the model's keyword arguments.
        """
        self._prepare(args, kwargs)
        values: TensorDict = {}
        for name, slot in self._slots.items():
            loc, scale = self._get_loc_and_scale(name)
            levels = levels_of(quantiles, slot.transform, loc)
            values[name] = slot.transform(dist.Normal(loc, scale).icdf(levels))
        return values
