"""Time series with a hidden Markov chain, scored by parallel scans: this file hands the names on."""

from __future__ import annotations

from pyroxene.distributions.hmm.base import HiddenMarkovModel
from pyroxene.distributions.hmm.discrete import DiscreteHMM, _sequential_logmatmulexp
from pyroxene.distributions.hmm.gamma_gaussian import GammaGaussianHMM, _sequential_gamma_gaussian_tensordot
from pyroxene.distributions.hmm.gaussian import GaussianHMM
from pyroxene.distributions.hmm.independent import IndependentHMM
from pyroxene.distributions.hmm.linear import LinearHMM
from pyroxene.distributions.hmm.random_field import GaussianMRF

__all__ = [
    "DiscreteHMM",
    "GammaGaussianHMM",
    "GaussianHMM",
    "GaussianMRF",
    "HiddenMarkovModel",
    "IndependentHMM",
    "LinearHMM",
    "_sequential_gamma_gaussian_tensordot",
    "_sequential_logmatmulexp",
]
