"""Hidden Markov models and random fields."""

from __future__ import annotations

import numpy as np
import torch

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import case, fixed, normal, positive, simplex, unit, vector


def state(batch, dtype):
    return normal((*batch, 2), dtype).to_event(1)


def shocks(batch, dtype):
    return normal((*batch, 4, 2), dtype).to_event(1)  # four steps of time


def joint_shocks(batch, dtype):
    return dist.MultivariateNormal(
        torch.randn((*batch, 4, 4), dtype=dtype), torch.eye(4, dtype=dtype) + torch.ones(4, 4, dtype=dtype)
    )


def mixing(batch, dtype):
    return torch.randn((*batch, 1, 2, 2), dtype=dtype) / 2  # the same at all times


def scores(batch, dtype):
    return torch.randn((*batch, 4, 3, 3), dtype=dtype)  # four steps of time, three states


def state_normal(batch, dtype):
    return normal((*batch, 1, 3), dtype)


def state_categorical(batch, dtype):
    return dist.Categorical(simplex((*batch, 4, 3), dtype))


def gamma_scale(batch, dtype):
    return dist.Gamma(positive(batch, dtype), positive(batch, dtype))


def univariate_chains(batch, dtype):
    return dist.hmm.GaussianHMM(
        normal((*batch, 3, 1), dtype).to_event(1),
        torch.full((1, 1), 0.5, dtype=dtype),
        normal((*batch, 3, 4, 1), dtype).to_event(1),
        torch.ones(1, 1, dtype=dtype),
        normal((1,), dtype).to_event(1),
    )


LINEAR = {
    "initial_dist": state,
    "transition_matrix": mixing,
    "transition_dist": shocks,
    "observation_matrix": mixing,
    "observation_dist": shocks,
}


def small(batch, dtype):
    return unit(batch, dtype) / 3


def at_nodes(batch, dtype):
    return torch.randn((*batch, 4), dtype=dtype)


RING = np.array([[0.0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])


SEQUENCES = [
    case(dist.GaussianHMM, **LINEAR),
    case(dist.GammaGaussianHMM, scale_dist=gamma_scale, **LINEAR),
    case(dist.LinearHMM, **LINEAR),
    case(dist.IndependentHMM, base_dist=univariate_chains),
    case(dist.GaussianMRF, initial_dist=state, transition_dist=joint_shocks, observation_dist=joint_shocks),
    case(dist.DiscreteHMM, initial_logits=vector, transition_logits=scores, observation_dist=state_normal),
    case(dist.DiscreteHMM, initial_logits=vector, transition_logits=scores, observation_dist=state_categorical),
    case(dist.GaussianRandomWalk, scale=positive, num_steps=fixed(4)),
    case(dist.GARCH11, omega=positive, alpha_1=small, beta_1=small, initial_vol=positive, steps=fixed(3)),
    case(dist.CAR, loc=at_nodes, correlation=small, conditional_precision=positive, adj_matrix=fixed(RING)),
]
