"""One particle of an estimator: the guide's run, and the model's run along it."""

from __future__ import annotations

from typing import Any

from pyroxene import settings
from pyroxene._typing import Model
from pyroxene.infer.checks import check_model_guide_match, check_site_shape
from pyroxene.poutine import replay, trace
from pyroxene.poutine.trace_struct import Trace, site_is_subsample

__all__ = ["get_importance_trace"]


def _prune(run: Trace) -> None:
    """Drop the plates' draws of indices, in place."""
    for name in [name for name, site in run.nodes.items() if site_is_subsample(site)]:
        run.remove_node(name)


def get_importance_trace(
    graph_type: str,
    max_plate_nesting: float,
    model: Model,
    guide: Model,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    detach: bool = False,
) -> tuple[Trace, Trace]:
    """Run the guide, then the model with the guide's values, and compute their log densities.

    Args:
        graph_type: "flat" or "dense".
        max_plate_nesting: how many batch dimensions plates may take.
        model: the model.
        guide: the guide.
        args: their arguments.
        kwargs: their keyword arguments.
        detach: whether the guide's values carry no gradients.

    Returns:
        (model_trace, guide_trace), with `log_prob` at the model's sites and `score_parts` at the guide's.
    """
    guide_trace = trace(guide, graph_type=graph_type).get_trace(*args, **kwargs)
    if detach:
        guide_trace.detach_()
    model_trace = trace(replay(model, trace=guide_trace), graph_type=graph_type).get_trace(*args, **kwargs)
    validate = settings.value_of("validate_infer")
    if validate:
        check_model_guide_match(model_trace, guide_trace, max_plate_nesting)
    _prune(guide_trace)
    _prune(model_trace)
    model_trace.compute_log_prob()
    guide_trace.compute_score_parts()
    if validate:
        for run in (model_trace, guide_trace):
            for site in run.nodes.values():
                if site["type"] == "sample":
                    check_site_shape(site, max_plate_nesting)
    return model_trace, guide_trace
