"""Where chains begin: points of finite density, and the site to blame where none is found."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from pyroxene import settings
from pyroxene.density import (
    InitMessenger,
    init_to_feasible,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    trace_structure,
)
from pyroxene.distributions.util import scale_and_mask
from pyroxene.errors import PyroxeneError, SiteError, SupportError, UsageError, describe
from pyroxene.infer.mcmc.chain import Chain
from pyroxene.infer.mcmc.sampler import Outcome
from pyroxene.infer.mcmc.target import Target
from pyroxene.poutine.messenger import block_messengers

__all__ = ["given_starts", "refuse_impossible", "starting_points"]

Strategy = Callable[..., Any]

TRIES = 100
"""Of the strategy that was asked for, as Pyro's; the others are tried after it."""


def given_starts(target: Target, initial_params: Mapping[str, torch.Tensor], num_chains: int) -> torch.Tensor:
    """Return the user's starting points, shape (num_chains, dim), float64.

    Args:
        target: what chains move over.
        initial_params: unconstrained, by site; with a leading dimension of chains, which may be left out of one.
        num_chains: how many chains.

    Raises:
        UsageError: names or shapes do not fit.
        SiteError: the density is not finite at one of them.
    """
    starts = target.join(initial_params, (num_chains,))
    for start in starts:
        if not _is_fine(target, start):
            raise _blame(target, start, "the initial parameters that were given")
    return starts


def refuse_impossible(target: Target, chains: Sequence[Chain]) -> None:
    """Raise where a chain stands at a point that its density, for the data of this run, does not allow.

    Args:
        target: what the chains move over.
        chains: after a run.

    Raises:
        SiteError: names the first site whose density is not finite.
    """
    for chain in chains:
        if chain.outcome == Outcome.IMPOSSIBLE:
            raise _blame(target, torch.from_numpy(chain.sampler.draw[0]), f"where chain {chain.number} stood before")


def starting_points(target: Target, num_chains: int, strategy: Strategy) -> torch.Tensor:
    """Return points of finite density and gradient, shape (num_chains, dim), float64.

    Args:
        target: what chains move over, of a model.
        num_chains: how many.
        strategy: gives each site a first value; where it finds no such point, others are tried.

    Raises:
        SiteError: no strategy finds one; the error names the first site whose density is not finite, and its value.
    """
    return torch.stack([_starting_point(target, strategy) for _ in range(num_chains)])


def _starting_point(target: Target, strategy: Strategy) -> torch.Tensor:
    last: torch.Tensor | None = None
    wanted = _describe(strategy)
    for name, make in _attempts(target, strategy):
        start = make()
        if start is None:
            continue
        last = start
        if _is_fine(target, start):
            if name != wanted:
                warnings.warn(
                    f"{wanted} found no point where the density is finite; the chain starts by {name}", stacklevel=2
                )
            return start
    if last is None:
        raise SiteError(
            "cannot find valid initial params: no strategy gives values on the supports",
            hint="init_to_value(values={...})",
        )
    raise _blame(target, last, f"{wanted}, init_to_uniform(radius=0.5) and (0.05), init_to_median and init_to_feasible")


def _attempts(target: Target, strategy: Strategy) -> Iterator[tuple[str, Callable[[], torch.Tensor | None]]]:
    """Yield strategies by name, each as often as it is worth trying."""
    radius = _radius(strategy)
    for _ in range(TRIES):
        if radius is not None:
            yield _describe(strategy), functools.partial(_uniform, target, radius)
        else:
            yield _describe(strategy), functools.partial(_by_strategy, target, strategy)
    for radius in (0.5, 0.05):
        for _ in range(20):
            yield f"init_to_uniform(radius={radius})", functools.partial(_uniform, target, radius)
    for other, count in ((init_to_median, 3), (init_to_feasible, 1), (init_to_sample, 10)):
        for _ in range(count):
            yield other.__name__, functools.partial(_by_strategy, target, other)


def _radius(strategy: Strategy) -> float | None:
    """Return the radius of init_to_uniform, which needs no run of the model; None of another strategy."""
    if strategy is init_to_uniform:
        return 2.0
    if isinstance(strategy, functools.partial) and strategy.func is init_to_uniform and not strategy.args:
        return float(strategy.keywords.get("radius", 2.0))
    return None


def _describe(strategy: Strategy) -> str:
    if isinstance(strategy, functools.partial):
        return str(getattr(strategy.func, "__name__", strategy.func))
    return str(getattr(strategy, "__name__", type(strategy).__name__))


def _uniform(target: Target, radius: float) -> torch.Tensor:
    return (2 * torch.rand(target.dim, dtype=torch.float64) - 1) * radius


def _by_strategy(target: Target, strategy: Strategy) -> torch.Tensor | None:
    assert target.log_density is not None
    with torch.no_grad():
        try:
            start = target.log_density.initial_point(strategy).to(torch.float64)
        except (SupportError, ValueError, RuntimeError) as error:
            if isinstance(error, PyroxeneError) and not isinstance(error, SupportError):
                raise
            return None
    return start if start.shape == (target.dim,) else None


def _is_fine(target: Target, z: torch.Tensor) -> bool:
    value, gradient = target.density.value_and_grad(z)
    return bool(value.isfinite()) and bool(gradient.isfinite().all())


def _blame(target: Target, z: torch.Tensor, tried: str) -> PyroxeneError:
    """Return the error that names the first site whose density, or gradient, is not finite at z."""
    what = "cannot find valid initial params: "
    hint = "look at the model's specification and its data; init_to_value(values={...}) starts where you say"
    if target.run_model is not None:
        found = _first_bad_site(target, z)
        if found is not None:
            site, log_prob = found
            return SiteError(
                what + f"the log density of site '{site['name']}' is {_worst(log_prob)}",
                site=site["name"],
                source=site.get("source"),
                expected=f"a finite log density at a start by {tried}",
                got=f"{site['fn']} at {describe(site['value'].detach())}",
                hint=hint,
            )
    value, gradient = target.density.value_and_grad(z)
    values = {name: describe(part) for name, part in target.constrain(z).items()}
    if not bool(value.isfinite()):
        return UsageError(what + f"the log density is {value.item()}", expected=tried, got=values, hint=hint)
    bad = next(name for name in values if not bool(gradient[list(target.indices(name))].isfinite().all()))
    return SiteError(
        what + f"the gradient with respect to site '{bad}' is not finite",
        site=bad,
        expected=f"a finite gradient at a start by {tried}",
        got=f"{values[bad]}, gradient {describe(gradient[list(target.indices(bad))])}",
        hint=hint,
    )


def _first_bad_site(target: Target, z: torch.Tensor) -> tuple[Mapping[str, Any], torch.Tensor] | None:
    """Return the first sample site whose log density at z is not finite, and that density."""
    assert target.run_model is not None
    values = target.constrain(z)
    unchecked = settings.context(validate_distributions_torch=False, validate_distributions_pyro=False)
    with torch.no_grad(), unchecked, block_messengers(lambda handler: True):
        at_values = InitMessenger(lambda site: values.get(site["name"]))
        for site in trace_structure(target.run_model, wrap=at_values).trace.nodes.values():
            if site["type"] != "sample" or site["mask"] is False:
                continue
            log_prob = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
            weighted: Any = scale_and_mask(log_prob, site["scale"], site["mask"])
            if not bool(torch.as_tensor(weighted).isfinite().all()):
                return site, torch.as_tensor(weighted)
    return None


def _worst(log_prob: torch.Tensor) -> str:
    flat = log_prob.reshape(-1)
    index = int((~flat.isfinite()).nonzero()[0])
    value = flat[index].item()
    if log_prob.dim() == 0:
        return str(value)
    return f"{value} at index {tuple(int(i) for i in torch.unravel_index(torch.tensor(index), log_prob.shape))}"
