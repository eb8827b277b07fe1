"""Classes that say what is known, or what was seen."""

from __future__ import annotations

import pyroxene.distributions as dist
from tests.distributions.contract.kinds import case, fixed, normal, real, vector

BASIC = [
    case(dist.Delta, v=real),
    case(dist.Delta, v=vector, log_density=real, event_dim=fixed(1)),
    case(dist.Empirical, samples=vector, log_weights=vector),
    case(dist.FoldedDistribution, base_dist=normal),
    case(dist.Unit, log_factor=real),
]
