"""Logistic regression, 100 000 rows, 50 columns: bound by memory."""

from __future__ import annotations

from posteriors.logistic_small import STAN, make, numpyro_model, pymc_model, pyroxene_model, sizes

__all__ = ["STAN", "data", "numpyro_model", "pymc_model", "pyroxene_model", "sizes"]


def data():
    return make(100_000, 50, 2)
