"""The No-U-Turn sampler: trajectories that end where they turn back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.distributions.transforms import Transform

from pyroxene._typing import Model, TensorDict
from pyroxene.density import init_to_uniform
from pyroxene.infer.mcmc.hmc import HMC

__all__ = ["NUTS"]


class NUTS(HMC):
    """The No-U-Turn sampler with multinomial trajectories; final. The transition itself is in `trajectory.py`.

    Args:
        model: the model; either this or `potential_fn`.
        potential_fn: from unconstrained values by name to minus the log density; then MCMC needs `initial_params`.
        step_size: the first step size.
        adapt_step_size: whether warm-up adapts the step size.
        adapt_mass_matrix: whether warm-up adapts the mass matrix.
        full_mass: True: dense; tuples of site names: dense among the sites of each; False: as `metric` says.
        use_multinomial_sampling: draw from the trajectory by weights; False: by a slice, as in the first paper.
        transforms: by site, from its support to unconstrained space, in the place of our own.
        max_plate_nesting: kept for programs that pass it.
        jit_compile: kept for programs that pass it: `engine` says how the density is computed.
        jit_options: kept for programs that pass it.
        ignore_jit_warnings: kept for programs that pass it.
        target_accept_prob: what the step size is adapted to.
        max_tree_depth: trajectories double at most so often; a pair gives one for warm-up, one after it.
        init_strategy: gives sites their first values; see pyroxene.density.initialization.
        engine: "auto" (the fastest that fits the model), "native", "inductor" or "eager".
        metric: "auto", "diagonal", "fisher", "low_rank" or "dense": how warm-up estimates the mass matrix.

    Raises:
        UsageError: neither or both of model and potential are given, or an option has no meaning.

    Source: Hoffman and Gelman 2014, The No-U-Turn sampler; Betancourt 2017, A conceptual introduction to Hamiltonian
        Monte Carlo, appendix A.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.infer import MCMC
        >>> def model(y):
        ...     mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> pyroxene.set_rng_seed(0)
        >>> mcmc = MCMC(NUTS(model, engine="eager"), num_samples=200, warmup_steps=100, disable_progbar=True)
        >>> mcmc.run(torch.tensor(2.0))
        >>> 0.7 < mcmc.get_samples()["mu"].mean().item() < 1.3
        True
    """

    _algorithm = "nuts"

    def __init__(
        self,
        model: Model | None = None,
        potential_fn: Callable[[TensorDict], torch.Tensor] | None = None,
        step_size: float = 1,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        full_mass: bool | Sequence[tuple[str, ...]] = False,
        use_multinomial_sampling: bool = True,
        transforms: Mapping[str, Transform] | None = None,
        max_plate_nesting: int | None = None,
        jit_compile: bool = False,
        jit_options: Mapping[str, Any] | None = None,
        ignore_jit_warnings: bool = False,
        target_accept_prob: float = 0.8,
        max_tree_depth: int | tuple[int, int] = 10,
        init_strategy: Callable[..., Any] = init_to_uniform,
        *,
        engine: str = "auto",
        metric: str = "auto",
    ) -> None:
        super().__init__(
            model,
            potential_fn,
            step_size=step_size,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            full_mass=full_mass,
            transforms=transforms,
            max_plate_nesting=max_plate_nesting,
            jit_compile=jit_compile,
            jit_options=jit_options,
            ignore_jit_warnings=ignore_jit_warnings,
            target_accept_prob=target_accept_prob,
            init_strategy=init_strategy,
            engine=engine,
            metric=metric,
        )
        depth = max_tree_depth
        self._max_tree_depth = (depth, depth) if isinstance(depth, int) else (depth[0], depth[1])
        self.use_multinomial_sampling = self._multinomial = use_multinomial_sampling
