"""Random linear systems, and the means and covariances of their series worked out step by step."""

from __future__ import annotations

import torch

import pyroxene.distributions as dist


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def dense(size, *batch):
    factor = randn(*batch, size, size).tril(-1) / 2
    factor = factor + torch.diag_embed(torch.rand(*batch, size, dtype=torch.float64) + 0.5)
    return dist.MultivariateNormal(randn(*batch, size), scale_tril=factor)


def diagonal(size, *batch):
    return dist.Normal(randn(*batch, size), torch.rand(*batch, size, dtype=torch.float64) + 0.5).to_event(1)


HIDDEN, SEEN, STEPS = 2, 3, 5

# batch shapes of initial_dist, transition_matrix, transition_dist, observation_matrix, observation_dist; duration
SHAPES = {
    "homogeneous": ((), (), (), (), (), 5),
    "time": ((), (5,), (5,), (5,), (5,), None),
    "mixed": ((3,), (5,), (2, 1, 5), (1,), (3, 1), None),
    "batch": ((), (), (), (), (4, 1), 5),
}


def linear_system(shapes, noise):
    init, trans, shock, obs, error, duration = SHAPES[shapes]
    return {
        "initial_dist": dense(HIDDEN, *init),
        "transition_matrix": randn(*trans, HIDDEN, HIDDEN) / 2,
        "transition_dist": noise(HIDDEN, *shock),
        "observation_matrix": randn(*obs, HIDDEN, SEEN),
        "observation_dist": noise(SEEN, *error),
        "duration": duration,
    }


def covariance_of(noise):
    return noise.covariance_matrix if hasattr(noise, "covariance_matrix") else noise.variance.diag_embed()


def joint_normal(
    initial_dist, transition_matrix, transition_dist, observation_matrix, observation_dist, duration, batch=()
):
    """The joint normal of (x[1], ..., x[T], z[T]), by adding up what each independent noise contributes."""
    size, seen = observation_matrix.shape[-2:]
    shape = (*batch, STEPS)
    moves = transition_matrix.expand(*shape, size, size)
    views = observation_matrix.expand(*shape, size, seen)
    shocks, errors = transition_dist.expand(shape), observation_dist.expand(shape)
    initial = initial_dist.expand(batch)
    total = STEPS * seen + size
    mean_z, mean = initial.mean, []
    factors = [torch.linalg.cholesky(covariance_of(initial)).mT]  # rows: each noise's part in z[t]
    blocks = []
    for t in range(STEPS):
        factors = [f @ moves[..., t, :, :] for f in factors]
        factors.append(torch.linalg.cholesky(covariance_of(shocks)[..., t, :, :]).mT)
        mean_z = (mean_z.unsqueeze(-2) @ moves[..., t, :, :]).squeeze(-2) + shocks.mean[..., t, :]
        mean.append((mean_z.unsqueeze(-2) @ views[..., t, :, :]).squeeze(-2) + errors.mean[..., t, :])
        blocks.append([f @ views[..., t, :, :] for f in factors])
    loc = torch.cat([*mean, mean_z], -1)
    covariance = torch.zeros(*batch, total, total, dtype=torch.float64)
    for number in range(STEPS + 1):
        row = torch.zeros(*batch, size, total, dtype=torch.float64)
        for t in range(STEPS):
            if number < len(blocks[t]):
                row[..., t * seen : (t + 1) * seen] = blocks[t][number]
        row[..., STEPS * seen :] = factors[number]
        covariance += row.mT @ row
    for t in range(STEPS):
        part = slice(t * seen, (t + 1) * seen)
        covariance[..., part, part] += covariance_of(errors)[..., t, :, :]
    return loc, covariance
