"""Distributions that pretend not to be reparameterised, for tests of score-function estimators."""

from __future__ import annotations

from pyroxene.distributions.torch import Beta, Dirichlet, Gamma, Normal

__all__ = [
    "NonreparameterizedBeta",
    "NonreparameterizedDirichlet",
    "NonreparameterizedGamma",
    "NonreparameterizedNormal",
]


class NonreparameterizedBeta(Beta):
    """Beta with samples that carry no gradient."""

    has_rsample = False


class NonreparameterizedDirichlet(Dirichlet):
    """Dirichlet with samples that carry no gradient."""

    has_rsample = False


class NonreparameterizedGamma(Gamma):
    """Gamma with samples that carry no gradient."""

    has_rsample = False


class NonreparameterizedNormal(Normal):
    """Normal with samples that carry no gradient."""

    has_rsample = False
