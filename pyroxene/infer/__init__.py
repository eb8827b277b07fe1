"""Inference algorithms, one a file."""

from __future__ import annotations

from pyroxene.infer import autoguide
from pyroxene.infer.elbo import (
    ELBO,
    JitTrace_ELBO,
    JitTraceGraph_ELBO,
    JitTraceMeanField_ELBO,
    Trace_ELBO,
    TraceGraph_ELBO,
    TraceMeanField_ELBO,
)
from pyroxene.infer.importance_trace import get_importance_trace
from pyroxene.infer.inspect import get_dependencies, render_model
from pyroxene.infer.mcmc import HMC, MCMC, NUTS, MCMCKernel, RandomWalkKernel, StreamingMCMC
from pyroxene.infer.predictive import Predictive
from pyroxene.infer.svi import SVI, SVIResult
from pyroxene.infer.util import enable_validation, is_validation_enabled

__all__ = [
    "ELBO",
    "HMC",
    "JitTraceGraph_ELBO",
    "JitTraceMeanField_ELBO",
    "JitTrace_ELBO",
    "MCMC",
    "MCMCKernel",
    "NUTS",
    "Predictive",
    "RandomWalkKernel",
    "SVI",
    "SVIResult",
    "StreamingMCMC",
    "TraceGraph_ELBO",
    "TraceMeanField_ELBO",
    "Trace_ELBO",
    "autoguide",
    "enable_validation",
    "get_dependencies",
    "get_importance_trace",
    "is_validation_enabled",
    "render_model",
]
