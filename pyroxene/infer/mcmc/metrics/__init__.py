"""Metrics: how warm-up estimates the inverse mass matrix, one kind a file."""

from __future__ import annotations

from pyroxene.infer.mcmc.metrics.arrowhead import ArrowheadMetric
from pyroxene.infer.mcmc.metrics.auto import AutoMetric
from pyroxene.infer.mcmc.metrics.base import DENSE, DIAGONAL, LOW_RANK, Metric, MetricValues
from pyroxene.infer.mcmc.metrics.block import BlockMetric
from pyroxene.infer.mcmc.metrics.dense import DenseMetric
from pyroxene.infer.mcmc.metrics.diagonal import DiagonalMetric
from pyroxene.infer.mcmc.metrics.fisher import FisherMetric
from pyroxene.infer.mcmc.metrics.low_rank import LowRankMetric
from pyroxene.infer.mcmc.metrics.named import make_metric

__all__ = [
    "DENSE",
    "DIAGONAL",
    "LOW_RANK",
    "ArrowheadMetric",
    "AutoMetric",
    "BlockMetric",
    "DenseMetric",
    "DiagonalMetric",
    "FisherMetric",
    "LowRankMetric",
    "Metric",
    "MetricValues",
    "make_metric",
]
