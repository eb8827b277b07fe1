"""Markov chain Monte Carlo: NUTS and HMC in compiled loops, kernels of one's own, and what their draws say."""

from __future__ import annotations

from pyroxene.infer.mcmc.api import MCMC
from pyroxene.infer.mcmc.hmc import HMC
from pyroxene.infer.mcmc.mass_matrices import ArrowheadMassMatrix, BlockMassMatrix
from pyroxene.infer.mcmc.mcmc_kernel import MCMCKernel
from pyroxene.infer.mcmc.nuts import NUTS
from pyroxene.infer.mcmc.rwkernel import RandomWalkKernel
from pyroxene.infer.mcmc.streaming import StreamingMCMC
from pyroxene.infer.mcmc.util import initialize_model

__all__ = [
    "HMC",
    "MCMC",
    "NUTS",
    "ArrowheadMassMatrix",
    "BlockMassMatrix",
    "MCMCKernel",
    "RandomWalkKernel",
    "StreamingMCMC",
    "initialize_model",
]
