"""What draws say: effective sample sizes, R-hat, Monte Carlo errors, the table of a run, and a verdict on it."""

from __future__ import annotations

from pyroxene.diagnostics.draws import (
    convergence,
    ess_bulk,
    ess_mean,
    ess_quantile,
    ess_sd,
    ess_tail,
    mcse_mean,
    mcse_quantile,
    mcse_sd,
    rank_normalize,
    rhat,
    split_chains,
)
from pyroxene.diagnostics.summary import Summary, summarize
from pyroxene.diagnostics.verdict import Finding, Symptom, judge

__all__ = [
    "Finding",
    "Summary",
    "Symptom",
    "convergence",
    "ess_bulk",
    "ess_mean",
    "ess_quantile",
    "ess_sd",
    "ess_tail",
    "judge",
    "mcse_mean",
    "mcse_quantile",
    "mcse_sd",
    "rank_normalize",
    "rhat",
    "split_chains",
    "summarize",
]
