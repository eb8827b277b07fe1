"""What surrounds a run: a model's potential and starting points, statistics of draws by site, picking draws."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.distributions.transforms import Transform

from pyroxene._typing import Model, TensorDict
from pyroxene.density import init_to_uniform, trace_structure
from pyroxene.diagnostics import summarize
from pyroxene.infer.mcmc.starting import given_starts, starting_points
from pyroxene.infer.mcmc.target import model_target
from pyroxene.ops import stats
from pyroxene.poutine.trace_struct import Trace

__all__ = [
    "diagnostics",
    "diagnostics_from_stats",
    "initialize_model",
    "print_summary",
    "select_samples",
    "summary",
]


def initialize_model(
    model: Model,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] = {},
    transforms: Mapping[str, Transform] | None = None,
    max_plate_nesting: int | None = None,
    jit_compile: bool = False,
    jit_options: Mapping[str, Any] | None = None,
    skip_jit_warnings: bool = False,
    num_chains: int = 1,
    init_strategy: Callable[..., Any] = init_to_uniform,
    initial_params: Mapping[str, torch.Tensor] | None = None,
) -> tuple[TensorDict, Callable[[TensorDict], torch.Tensor], dict[str, Transform], Trace]:
    """Return what a sampler of one's own needs of a model.

    Args:
        model: the model.
        model_args: its arguments.
        model_kwargs: its keyword arguments.
        transforms: by site, from its support to unconstrained space, in the place of our own.
        max_plate_nesting: kept for programs that pass it.
        jit_compile: kept for programs that pass it.
        jit_options: kept for programs that pass it.
        skip_jit_warnings: kept for programs that pass it.
        num_chains: how many starting points.
        init_strategy: gives sites their first values.
        initial_params: unconstrained values by site to start at, checked.

    Returns:
        unconstrained starting values by site, with a leading dimension of chains where there are several; the
        potential, minus the log density as a differentiable function of such values of one chain; the transforms by
        site, from supports to unconstrained space; a trace of the model.

    Raises:
        SiteError: no point of finite density was found.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def model(y):
        ...     mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> params, potential, transforms, trace = initialize_model(model, (torch.tensor(2.0),))
        >>> potential({"mu": torch.tensor(1.0)}).round(decimals=3)  # log(2 pi) + 1
        tensor(2.8380)
        >>> sorted(params), sorted(trace.nodes)
        (['mu'], ['_INPUT', '_RETURN', 'mu', 'y'])
    """
    target = model_target(model, model_args, dict(model_kwargs), transforms=transforms, engine="eager")
    if initial_params is None:
        starts = starting_points(target, num_chains, init_strategy)
    else:
        starts = given_starts(target, initial_params, num_chains)
    params = target.split(starts[0] if num_chains == 1 else starts)
    trace = trace_structure(model, *model_args, **model_kwargs).trace
    return params, target.potential, dict(target.transforms), trace


def _grouped(samples: Mapping[str, torch.Tensor], group_by_chain: bool) -> TensorDict:
    return {name: value if group_by_chain else value.unsqueeze(0) for name, value in samples.items()}


def diagnostics(samples: Mapping[str, torch.Tensor], group_by_chain: bool = True) -> dict[str, Any]:
    """Return the effective sample size and split R-hat of each site, by Pyro's classic formulas.

    Args:
        samples: by site, shape (num_chains, num_draws, *site shape).
        group_by_chain: False where the dimension of chains is left out of one.

    Returns:
        {site: {"n_eff": ..., "r_hat": ...}}, of the sites' shapes; nan where there are too few draws.
    """
    found: dict[str, Any] = {}
    for name, value in _grouped(samples, group_by_chain).items():
        unknown = torch.full(value.shape[2:], torch.nan)
        value = value if value.is_floating_point() else value.to(torch.get_default_dtype())
        found[name] = OrderedDict(
            n_eff=stats.effective_sample_size(value) if value.shape[1] >= 2 else unknown,
            r_hat=stats.split_gelman_rubin(value) if value.shape[1] >= 4 else unknown,
        )
    return found


def summary(samples: Mapping[str, torch.Tensor], prob: float = 0.9, group_by_chain: bool = True) -> dict[str, Any]:
    """Return statistics of each site: mean, std, median, the ends of the narrowest interval, n_eff, r_hat.

    Args:
        samples: by site, shape (num_chains, num_draws, *site shape).
        prob: the interval's mass.
        group_by_chain: False where the dimension of chains is left out of one.
    """
    low, high = (f"{50 * (1 - prob):.1f}%", f"{50 * (1 + prob):.1f}%")
    measures = diagnostics(samples, group_by_chain)
    found: dict[str, Any] = {}
    for name, value in _grouped(samples, group_by_chain).items():
        pooled = value.flatten(0, 1)
        pooled = pooled if pooled.is_floating_point() else pooled.to(torch.get_default_dtype())
        interval = stats.hpdi(pooled, prob)
        found[name] = OrderedDict(
            [
                ("mean", pooled.mean(0)),
                ("std", pooled.std(0) if len(pooled) > 1 else torch.full(pooled.shape[1:], torch.nan)),
                ("median", pooled.median(0)[0]),
                (low, interval[0]),
                (high, interval[1]),
                *measures[name].items(),
            ]
        )
    return found


def print_summary(samples: Mapping[str, torch.Tensor], prob: float = 0.9, group_by_chain: bool = True) -> None:
    """Print the table of draws; see `pyroxene.diagnostics.summarize`, which returns it.

    Args:
        samples: by site, shape (num_chains, num_draws, *site shape).
        prob: mass between the outer quantiles.
        group_by_chain: False where the dimension of chains is left out of one.
    """
    print(summarize(_grouped(samples, group_by_chain), ((1 - prob) / 2, (1 + prob) / 2)))


def select_samples(
    samples: Mapping[str, torch.Tensor], num_samples: int | None = None, group_by_chain: bool = False
) -> TensorDict:
    """Return all draws, or some picked at random, with replacement.

    Args:
        samples: by site, shape (num_chains, num_draws, *site shape).
        num_samples: how many to pick; None: all, in their order.
        group_by_chain: whether to keep the dimension of chains; then so many are picked of each, the same of all.
    """
    if num_samples is None:
        return {name: value if group_by_chain else value.flatten(0, 1) for name, value in samples.items()}
    if not samples:
        raise ValueError("there are no draws to pick from")
    dim = 1 if group_by_chain else 0
    chosen = {name: value if group_by_chain else value.flatten(0, 1) for name, value in samples.items()}
    size = next(iter(chosen.values())).shape[dim]
    picked = torch.randint(0, size, (num_samples,))
    return {name: value.index_select(dim, picked) for name, value in chosen.items()}


def diagnostics_from_stats(
    statistics: Mapping[Any, Mapping[str, Any]], num_samples: int, num_chains: int
) -> dict[str, Any]:
    """Return R-hat of each site from the means and variances of its chains.

    Args:
        statistics: {(chain, site): {"mean": ..., "variance": ...}}.
        num_samples: draws of each chain.
        num_chains: how many chains.

    Returns:
        {site: {"r_hat": ...}} of the sites whose statistics hold mean and variance.
    """
    found: dict[str, Any] = {}
    for name in dict.fromkeys(site for _, site in statistics):
        parts = [statistics[chain, name] for chain in range(num_chains) if (chain, name) in statistics]
        if not all("mean" in part and "variance" in part for part in parts):
            continue
        within = torch.stack([part["variance"] for part in parts]).mean(0)
        total = within * ((num_samples - 1) / num_samples)
        if len(parts) > 1:
            total = total + torch.stack([part["mean"] for part in parts]).var(0)
        found[name] = OrderedDict(r_hat=(total / within).sqrt())
    return found
