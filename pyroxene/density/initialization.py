"""Starting points: strategies that give each latent site a first value, and the handler that applies one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pyroxene import settings
from pyroxene.density.layout import helpful_support_errors
from pyroxene.distributions import Independent, MaskedDistribution
from pyroxene.distributions.transforms import transform_to
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import CannotSampleError, ShapeError, SupportError, describe
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.trace_struct import site_is_subsample

__all__ = [
    "InitMessenger",
    "init_to_feasible",
    "init_to_generated",
    "init_to_mean",
    "init_to_median",
    "init_to_sample",
    "init_to_uniform",
    "init_to_value",
]

Site = Mapping[str, Any]
Strategy = Callable[..., Any]


def _draw(site: Site) -> torch.Tensor:
    drawn: torch.Tensor = site["fn"].sample().detach()
    return drawn


def _unconstrained(site: Site) -> tuple[Any, torch.Tensor]:
    """Return the transform from unconstrained space to a site's support, and a tensor of the form that it takes.

    The form is that of a draw. An improper distribution has none: there it follows from the shape.
    """
    transform = transform_to(site["fn"].support)
    try:
        return transform, transform.inv(_draw(site))
    except CannotSampleError:
        return transform, torch.zeros(transform.inverse_shape(site["fn"].shape()))


def _is_multivariate(fn: Any) -> bool:
    while isinstance(fn, (Independent, MaskedDistribution)):
        fn = fn.base_dist
    return any(size > 1 for size in fn.event_shape)


def init_to_feasible(site: Site | None = None) -> Any:
    """Start in the middle of the support: the image of zero under its transform.

    Args:
        site: a sample site; None returns the strategy itself.

    Example:
        >>> import pyroxene.distributions as dist
        >>> site = {"name": "scale", "fn": dist.Gamma(4.0, 2.0)}
        >>> init_to_feasible(site)
        tensor(1.)
    """
    if site is None:
        return init_to_feasible
    transform, unconstrained = _unconstrained(site)
    return transform(torch.zeros_like(unconstrained))


def init_to_sample(site: Site | None = None) -> Any:
    """Start at a draw from the prior.

    Args:
        site: a sample site; None returns the strategy itself.

    Example:
        >>> import pyroxene.distributions as dist
        >>> site = {"name": "scale", "fn": dist.Gamma(4.0, 2.0)}
        >>> init_to_sample(site) > 0
        tensor(True)
    """
    return init_to_sample if site is None else _draw(site)


def init_to_uniform(site: Site | None = None, radius: float = 2.0) -> Any:
    """Start uniformly within `radius` of zero, coordinate by coordinate, in unconstrained space.

    Args:
        site: a sample site; None returns the strategy with its options.
        radius: half the width, on the unconstrained scale.

    Example:
        >>> import pyroxene.distributions as dist
        >>> site = {"name": "scale", "fn": dist.Gamma(4.0, 2.0)}
        >>> -0.1 < init_to_uniform(radius=0.1)(site).log() < 0.1
        tensor(True)
    """
    if site is None:
        return functools.partial(init_to_uniform, radius=radius)
    transform, unconstrained = _unconstrained(site)
    return transform(torch.rand_like(unconstrained) * (2 * radius) - radius)


def init_to_median(
    site: Site | None = None, num_samples: int = 15, *, fallback: Strategy | None = init_to_feasible
) -> Any:
    """Start at the median of draws from the prior, coordinate by coordinate.

    Args:
        site: a sample site; None returns the strategy with its options.
        num_samples: how many draws.
        fallback: the strategy where nothing can be drawn; None raises there. Multivariate sites start feasible.

    Raises:
        ValueError: there is no fallback, and the draws' median is NaN.

    Example:
        >>> import pyroxene.distributions as dist
        >>> site = {"name": "scale", "fn": dist.Gamma(4.0, 2.0)}
        >>> 1.5 < init_to_median(num_samples=1001)(site) < 2.2
        tensor(True)
    """
    if site is None:
        return functools.partial(init_to_median, num_samples=num_samples, fallback=fallback)
    if _is_multivariate(site["fn"]):  # coordinates go together, as on the simplex
        return init_to_feasible(site)
    try:
        value = site["fn"].sample(sample_shape=(num_samples,)).median(dim=0)[0]
        if bool(value.isnan().any()):
            raise ValueError(f"the median of site '{site['name']}' is NaN")
        return value
    except (RuntimeError, ValueError, NotImplementedError):
        if fallback is None:
            raise
        return fallback(site)


def init_to_mean(site: Site | None = None, *, fallback: Strategy | None = init_to_median) -> Any:
    """Start at the prior's mean.

    Args:
        site: a sample site; None returns the strategy with its options.
        fallback: the strategy where the mean is not known or not finite; None raises there.

    Raises:
        ValueError: there is no fallback, and the mean is not finite.

    Example:
        >>> import pyroxene.distributions as dist
        >>> site = {"name": "scale", "fn": dist.Gamma(4.0, 2.0)}
        >>> init_to_mean(site)
        tensor(2.)
    """
    if site is None:
        return functools.partial(init_to_mean, fallback=fallback)
    try:
        value = site["fn"].mean.detach()
        if not bool(value.isfinite().all()):
            raise ValueError(f"the mean of site '{site['name']}' is not finite")
        return value
    except (RuntimeError, ValueError, NotImplementedError):
        if fallback is None:
            raise
        return fallback(site)


def init_to_value(
    site: Site | None = None, values: Mapping[str, torch.Tensor] = {}, *, fallback: Strategy | None = init_to_uniform
) -> Any:
    """Start at given values.

    Args:
        site: a sample site; None returns the strategy with its options.
        values: on their supports, by site name.
        fallback: the strategy of sites that are not in `values`; None raises there.

    Raises:
        SupportError: (a ValueError) a site is not in `values`, and there is no fallback.

    Example:
        >>> import pyroxene.distributions as dist
        >>> site = {"name": "scale", "fn": dist.Gamma(4.0, 2.0)}
        >>> init_to_value(values={"scale": torch.tensor(3.0)})(site)
        tensor(3.)
    """
    if site is None:
        return functools.partial(init_to_value, values=values, fallback=fallback)
    if site["name"] in values:
        return values[site["name"]]
    if fallback is None:
        raise SupportError(
            f"no initial value for site '{site['name']}'",
            site=site["name"],
            expected=f"one of {sorted(values)}",
            got=site["name"],
            hint="add it to `values`, or give a fallback such as init_to_uniform",
        )
    return fallback(site)


class _Generated:
    """A strategy that is made anew for every run of the model."""

    def __init__(self, generate: Callable[[], Strategy]) -> None:
        self.generate = generate
        self._strategy: Strategy | None = None
        self._seen: set[str] = set()

    def __call__(self, site: Site) -> Any:
        if self._strategy is None or site["name"] in self._seen:  # a name comes back: another run has begun
            self._strategy = self.generate()
            self._seen = set()
        self._seen.add(site["name"])
        return self._strategy(site)


def init_to_generated(site: Site | None = None, generate: Callable[[], Strategy] = lambda: init_to_uniform) -> Any:
    """Start by a strategy that a function makes anew for each run, such as `init_to_value` at other random values.

    Args:
        site: a sample site; None returns the strategy with its options.
        generate: returns a strategy.

    Example:
        >>> import pyroxene.distributions as dist
        >>> site = {"name": "scale", "fn": dist.Gamma(4.0, 2.0)}
        >>> values = iter([1.0, 5.0])
        >>> strategy = init_to_generated(generate=lambda: init_to_value(values={"scale": next(values)}))
        >>> strategy(site), strategy(site)  # the name comes back: another run
        (1.0, 5.0)
    """
    strategy = _Generated(generate)
    return strategy if site is None else strategy(site)


class InitMessenger(Messenger):
    """Gives latent sites first values by a strategy, instead of drawing them; final.

    Args:
        init_fn: from a site to a value, a tensor of the site's shape; None leaves the site to be drawn.

    Raises:
        SupportError: the site's support has no bijection.
        ShapeError: the strategy's value has another shape than the site.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def model():
        ...     pyroxene.sample("scale", dist.Gamma(4.0, 2.0))
        >>> with pyroxene.poutine.trace() as trace, InitMessenger(init_to_mean):
        ...     model()
        >>> trace.trace.nodes["scale"]["value"]
        tensor(2.)
    """

    def __init__(self, init_fn: Callable[[Any], Any]) -> None:
        super().__init__()
        self.init_fn = init_fn

    def _pyro_sample(self, msg: Message) -> None:
        if msg["done"] or msg["is_observed"] or site_is_subsample(msg):
            return
        with torch.no_grad(), helpful_support_errors(msg):
            value = self.init_fn(msg)
        if value is None:
            return
        fn = msg["fn"]
        if settings.value_of("validate_infer") and hasattr(fn, "shape"):
            shape = fn.shape()
            if value.shape != shape and not _fits(value.shape, shape):
                raise ShapeError(
                    f"the initial value of site '{msg['name']}' has another shape than the site",
                    site=msg["name"],
                    source=msg.get("source"),
                    expected=f"shape {tuple(shape)}",
                    got=describe(value),
                    hint="correct the values given to init_to_value",
                )
        msg["value"] = value
        msg["done"] = True


def _fits(shape: torch.Size, wanted: torch.Size) -> bool:
    try:
        return broadcast_shape(shape, wanted) == shape
    except ShapeError:
        return False
