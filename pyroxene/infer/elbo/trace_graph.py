"""`TraceGraph_ELBO`: score-function gradients that weigh each site only by the costs that depend on it; baselines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from pyroxene._typing import Model
from pyroxene.distributions.util import is_identically_zero
from pyroxene.errors import UsageError
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.importance_trace import get_importance_trace
from pyroxene.infer.util import MultiFrameTensor, total
from pyroxene.ops.provenance import detach_provenance, get_provenance, track_provenance
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.trace_struct import Trace, site_is_subsample
from pyroxene.primitives import param

__all__ = ["JitTraceGraph_ELBO", "TraceGraph_ELBO", "TrackNonReparam"]

_AVERAGE = "__baseline_avg_downstream_cost_"


class TrackNonReparam(Messenger):
    """Marks values of sites without a reparametrised draw, so that later tensors tell on which of them they depend."""

    def _pyro_post_sample(self, msg: Message) -> None:
        if msg["is_observed"] or site_is_subsample(msg) or getattr(msg["fn"], "has_rsample", False):
            return
        before = get_provenance(msg["value"])
        msg["value"] = track_provenance(detach_provenance(msg["value"]), before | frozenset({msg["name"]}))


def _log_prob_sum(run: Trace) -> Any:
    """Return the log density of a run, a plain scalar."""
    return detach_provenance(total(site["log_prob_sum"] for site in run.nodes.values() if site["type"] == "sample"))


def _costs(model_trace: Trace, guide_trace: Trace) -> Iterable[tuple[Any, torch.Tensor]]:
    """Yield each term of log p - log q, with its site."""
    for sign, run in ((1, model_trace), (-1, guide_trace)):
        for site in run.nodes.values():
            if site["type"] == "sample":
                yield site, site["log_prob"] if sign == 1 else -site["log_prob"]


def _compute_downstream_costs(
    model_trace: Trace, guide_trace: Trace, non_reparam_nodes: set[str]
) -> tuple[dict[str, torch.Tensor], dict[str, set[str]]]:
    """Sum, for each site without a reparametrised draw, the costs that depend on it.

    Returns:
        the costs by site name, of the site's batch shape; the names of the sites whose costs they are.
    """
    frames = {name: MultiFrameTensor() for name in non_reparam_nodes}
    members: dict[str, set[str]] = {name: set() for name in non_reparam_nodes}
    for site, cost in _costs(model_trace, guide_trace):
        plain = detach_provenance(cost)
        for name in get_provenance(cost) & non_reparam_nodes:
            frames[name].add((site["cond_indep_stack"], plain))
            members[name].add(site["name"])
    costs: dict[str, torch.Tensor] = {}
    for name, collected in frames.items():
        summed = collected.sum_to(guide_trace.nodes[name]["cond_indep_stack"])
        costs[name] = torch.zeros(()) if summed is None else summed
    return costs, members


def _baseline(name: str, site: Any, cost: torch.Tensor) -> tuple[Any, Any]:
    """Return a site's baseline and the loss that trains it, from the options in `infer["baseline"]`."""
    options = dict(site["infer"].get("baseline", {}))
    network = options.pop("nn_baseline", None)
    network_input = options.pop("nn_baseline_input", None)
    use_average = options.pop("use_decaying_avg_baseline", False)
    rate = options.pop("baseline_beta", 0.90)
    value = options.pop("baseline_value", None)
    if options:
        raise UsageError(
            f"unknown baseline options at site '{name}'",
            site=name,
            source=site.get("source"),
            expected="nn_baseline, nn_baseline_input, use_decaying_avg_baseline, baseline_beta, baseline_value",
            got=sorted(options),
        )
    if value is not None and network is not None:
        raise UsageError(f"site '{name}' has nn_baseline and baseline_value", site=name, expected="one", got="both")
    baseline: Any = 0.0
    loss: Any = 0.0
    if use_average:
        average = param(_AVERAGE + name, torch.zeros(cost.shape, device=site["value"].device))
        # of earlier steps alone: the present cost would bias the gradient
        baseline = baseline + average.detach().clone()
        with torch.no_grad():
            average.copy_((1 - rate) * cost + rate * average)
    if network is not None:
        prediction = network(network_input.detach() if isinstance(network_input, torch.Tensor) else network_input)
        loss = torch.pow(cost.detach() - prediction, 2.0).sum()
        baseline = baseline + prediction
    elif value is not None:
        loss = torch.pow(cost.detach() - value, 2.0).sum()
        baseline = baseline + value
    if isinstance(baseline, torch.Tensor) and baseline.shape != cost.shape and baseline.numel() != 1:
        raise UsageError(
            f"Expected baseline at site {name} to be {tuple(cost.shape)} instead got {tuple(baseline.shape)}",
            site=name,
            source=site.get("source"),
            expected=f"shape {tuple(cost.shape)}",
            got=f"shape {tuple(baseline.shape)}",
        )
    return baseline, loss


class TraceGraph_ELBO(ELBO):
    """Estimates the ELBO, with score-function gradients of low variance for sites that have no reparametrised draw.

    Each such site's score is weighted by the sum of just those terms of log p - log q that depend on its value, found
    by following values through the run, and less its baseline, if the guide gives one:
    `sample(name, fn, infer={"baseline": {...}})` with

    - `use_decaying_avg_baseline` (bool) and `baseline_beta` (0.9): a running average, kept as a parameter;
    - `nn_baseline`, a module, with `nn_baseline_input`; or `baseline_value`, a tensor: a term of squared error trains
      them, where the guide registers their parameters (`pyroxene.module`).

    Sources: J. Schulman, N. Heess, T. Weber, P. Abbeel (2015), Gradient estimation using stochastic computation graphs;
    A. Mnih, K. Gregor (2014), Neural variational inference and learning in belief networks.
    """

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace, Trace]:
        with TrackNonReparam():
            return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def _elbo(self, model_trace: Trace, guide_trace: Trace) -> Any:
        return _log_prob_sum(model_trace) - _log_prob_sum(guide_trace)

    def _surrogate(self, model_trace: Trace, guide_trace: Trace, elbo: Any) -> Any:
        sites = {name: site for name, site in guide_trace.nodes.items() if site["type"] == "sample"}
        if all(site["score_parts"].entropy_term is site["log_prob"] for site in sites.values()):
            return elbo  # every site is reparametrised: the estimate differentiates as it stands
        surrogate = _log_prob_sum(model_trace)
        weighted: list[str] = []
        for name, site in sites.items():
            parts = site["score_parts"]
            if not is_identically_zero(parts.entropy_term):
                surrogate = surrogate - detach_provenance(parts.entropy_term.sum())
            if not is_identically_zero(parts.score_function):
                weighted.append(name)
        if weighted:
            costs, _ = _compute_downstream_costs(model_trace, guide_trace, set(weighted))
            for name in weighted:
                surrogate = surrogate + self._weighted_score(name, sites[name], costs[name])
        return surrogate

    def _weighted_score(self, name: str, site: Any, cost: torch.Tensor) -> torch.Tensor:
        """Return the score of a site times its costs, less the loss that trains its baseline."""
        score = detach_provenance(site["score_parts"].score_function)
        baseline, loss = _baseline(name, site, cost)
        if isinstance(baseline, torch.Tensor):
            baseline = baseline.detach()
        weighted: torch.Tensor = (score * (cost - baseline).detach()).sum() - loss
        return weighted


class JitTraceGraph_ELBO(TraceGraph_ELBO):
    """`TraceGraph_ELBO` under the name of Pyro's compiled form; compilation is the engine's own decision here."""
