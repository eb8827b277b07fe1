"""Estimators of the evidence lower bound (ELBO), one a file, on one base."""

from __future__ import annotations

from pyroxene.infer.elbo.base import ELBO, ELBOModule
from pyroxene.infer.elbo.mean_field import JitTraceMeanField_ELBO, TraceMeanField_ELBO
from pyroxene.infer.elbo.trace import JitTrace_ELBO, Trace_ELBO
from pyroxene.infer.elbo.trace_graph import JitTraceGraph_ELBO, TraceGraph_ELBO

__all__ = [
    "ELBO",
    "ELBOModule",
    "JitTraceGraph_ELBO",
    "JitTraceMeanField_ELBO",
    "JitTrace_ELBO",
    "TraceGraph_ELBO",
    "TraceMeanField_ELBO",
    "Trace_ELBO",
]
