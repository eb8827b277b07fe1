"""`Trace_ELBO`: the plain estimator, reparametrised where it can be, by the score function elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyroxene._typing import Model
from pyroxene.distributions.util import is_identically_zero
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.importance_trace import get_importance_trace
from pyroxene.infer.util import MultiFrameTensor, total
from pyroxene.poutine.trace_struct import Trace

__all__ = ["JitTrace_ELBO", "Trace_ELBO"]


def _sample_sites(run: Trace) -> Iterator[dict[str, Any]]:
    return (site for site in run.nodes.values() if site["type"] == "sample")


def _model_part(model_trace: Trace) -> Any:
    """Return log p, the sum over the sites that are not masked out."""
    return total(site["log_prob_sum"] for site in _sample_sites(model_trace) if site["mask"] is not False)


def _log_ratios(model_trace: Trace, guide_trace: Trace) -> MultiFrameTensor:
    """Return log p - log q of all sites, by the plates they vary over, without gradients."""
    ratios = MultiFrameTensor()
    for site in _sample_sites(model_trace):
        ratios.add((site["cond_indep_stack"], site["log_prob"].detach()))
    for site in _sample_sites(guide_trace):
        ratios.add((site["cond_indep_stack"], -site["log_prob"].detach()))
    return ratios


class Trace_ELBO(ELBO):
    """Estimates the ELBO and its gradient for any model and guide.

    Gradients pass through the values of reparametrised sites; other sites use the score function, Rao-Blackwellised
    over plates: a site's factor is weighted by the log ratios of its own plates only.

    Sources: R. Ranganath, S. Gerrish, D. M. Blei (2014), Black box variational inference; D. P. Kingma, M. Welling
    (2014), Auto-encoding variational Bayes.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> def model():
        ...     pyroxene.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))
        >>> round(Trace_ELBO().loss(model, lambda: None), 4)
        0.9189
    """

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace, Trace]:
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def _elbo(self, model_trace: Trace, guide_trace: Trace) -> Any:
        return _model_part(model_trace) - total(site["log_prob_sum"] for site in _sample_sites(guide_trace))

    def _surrogate(self, model_trace: Trace, guide_trace: Trace, elbo: Any) -> Any:
        guide_sites = list(_sample_sites(guide_trace))
        if all(site["score_parts"].entropy_term is site["log_prob"] for site in guide_sites):
            return elbo  # every site is reparametrised: the estimate differentiates as it stands
        surrogate = _model_part(model_trace)
        ratios: MultiFrameTensor | None = None
        for site in guide_sites:
            _, score_function, entropy_term = site["score_parts"]
            if not is_identically_zero(entropy_term):
                surrogate = surrogate - entropy_term.sum()
            if not is_identically_zero(score_function):
                if ratios is None:
                    ratios = _log_ratios(model_trace, guide_trace)
                surrogate = surrogate + (ratios.sum_to(site["cond_indep_stack"]) * score_function).sum()
        return surrogate


class JitTrace_ELBO(Trace_ELBO):
    """`Trace_ELBO` under the name that Pyro gives its compiled form; compilation is the engine's own decision here."""
