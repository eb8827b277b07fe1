"""From what a user writes for a metric to the metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.metrics.arrowhead import ArrowheadMetric
from pyroxene.infer.mcmc.metrics.auto import AutoMetric
from pyroxene.infer.mcmc.metrics.base import Metric
from pyroxene.infer.mcmc.metrics.block import BlockMetric
from pyroxene.infer.mcmc.metrics.dense import DenseMetric
from pyroxene.infer.mcmc.metrics.diagonal import DiagonalMetric
from pyroxene.infer.mcmc.metrics.fisher import FisherMetric
from pyroxene.infer.mcmc.metrics.low_rank import LowRankMetric

__all__ = ["make_metric"]

_NAMED: dict[str, Callable[[], Metric]] = {
    "auto": AutoMetric,
    "diagonal": DiagonalMetric,
    "fisher": FisherMetric,
    "low_rank": LowRankMetric,
    "dense": DenseMetric,
}
_WITH_ARGUMENT: dict[str, Callable[[Any], Metric]] = {"block": BlockMetric, "arrowhead": ArrowheadMetric}


def make_metric(metric: str | Sequence[Any] | Metric) -> Metric:
    """Return the metric that a name stands for.

    Args:
        metric: "auto", "diagonal", "fisher", "low_rank", "dense", ("block", [indices, ...]), ("arrowhead", head size),
            or a metric, which is returned.

    Raises:
        UsageError: no metric has that name.
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and metric in _NAMED:
        return _NAMED[metric]()
    if isinstance(metric, Sequence) and len(metric) == 2 and metric[0] in _WITH_ARGUMENT:
        return _WITH_ARGUMENT[metric[0]](metric[1])
    raise UsageError(
        "there is no such metric",
        expected=f"one of {sorted(_NAMED)}, or a pair ('block', lists of indices) or ('arrowhead', head size)",
        got=repr(metric),
    )
