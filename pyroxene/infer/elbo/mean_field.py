"""`TraceMeanField_ELBO`: analytic Kullback-Leibler divergences where they are known."""

from __future__ import annotations

import warnings
from typing import Any

from pyroxene._typing import Model
from pyroxene.distributions.kl import kl_divergence
from pyroxene.distributions.util import is_identically_zero, scale_and_mask
from pyroxene.errors import GuideError
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.importance_trace import get_importance_trace
from pyroxene.infer.util import is_validation_enabled
from pyroxene.poutine.trace_struct import Trace

__all__ = ["JitTraceMeanField_ELBO", "TraceMeanField_ELBO"]


def _check_mean_field(model_trace: Trace, guide_trace: Trace) -> None:
    """Warn where the order of sites differs, a sign of dependence that analytic divergences would get wrong."""
    model_sites = [name for name, _ in model_trace.iter_stochastic_nodes() if name in guide_trace.nodes]
    guide_sites = [name for name, _ in guide_trace.iter_stochastic_nodes() if name in model_trace.nodes]
    if model_sites != guide_sites and sorted(model_sites) == sorted(guide_sites):
        warnings.warn(
            "Failed to verify mean field restriction on the guide: model and guide order their sites differently\n"
            f"  model: {model_sites}\n  guide: {guide_sites}",
            stacklevel=2,
        )


class TraceMeanField_ELBO(ELBO):
    """Estimates the ELBO with analytic divergences KL(q || p) at each site where they are known.

    Correct where, given the values of earlier sites, guide and model agree on each site's parents (mean field). All
    guide sites must be reparametrised.

    Raises:
        GuideError: a guide site has no reparametrised draw.
    """

    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace, Trace]:
        model_trace, guide_trace = get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)
        if is_validation_enabled():
            _check_mean_field(model_trace, guide_trace)
        return model_trace, guide_trace

    def _elbo(self, model_trace: Trace, guide_trace: Trace) -> Any:
        elbo: Any = 0.0
        for name, site in model_trace.nodes.items():
            if site["type"] != "sample":
                continue
            if site["is_observed"]:
                elbo = elbo + site["log_prob_sum"]
                continue
            guide_site = guide_trace.nodes[name]
            self._check_reparametrised(name, guide_site)
            try:
                divergence: Any = kl_divergence(guide_site["fn"], site["fn"])
            except NotImplementedError:
                entropy_term = guide_site["score_parts"].entropy_term
                elbo = elbo + site["log_prob_sum"]
                if not is_identically_zero(entropy_term):
                    elbo = elbo - entropy_term.sum()
                continue
            divergence = scale_and_mask(divergence, scale=guide_site["scale"], mask=guide_site["mask"])
            if not is_identically_zero(divergence):
                # the divergence of distributions that a plate has not expanded stands for the whole batch
                elbo = elbo - divergence.expand(guide_site["log_prob"].shape).sum()
        for name, site in guide_trace.nodes.items():
            if site["type"] == "sample" and name not in model_trace.nodes:
                self._check_reparametrised(name, site)
                elbo = elbo - site["log_prob_sum"]
        return elbo

    @staticmethod
    def _check_reparametrised(name: str, site: Any) -> None:
        if not is_identically_zero(site["score_parts"].score_function):
            raise GuideError(
                f"TraceMeanField_ELBO only supports fully reparametrized guides: site '{name}' is not",
                site=name,
                source=site.get("source"),
                expected="a distribution with rsample",
                got=site["fn"],
                hint="Trace_ELBO or TraceGraph_ELBO",
            )


class JitTraceMeanField_ELBO(TraceMeanField_ELBO):
    """`TraceMeanField_ELBO` under the name of Pyro's compiled form; compilation is the engine's own decision here."""
