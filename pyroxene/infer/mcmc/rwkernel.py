"""Random-walk Metropolis with a step size that adapts: the simplest kernel, and an example of one."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene._typing import Model, TensorDict
from pyroxene.density import init_to_uniform
from pyroxene.infer.mcmc.mcmc_kernel import MCMCKernel
from pyroxene.infer.mcmc.starting import given_starts, starting_points
from pyroxene.infer.mcmc.target import Target, model_target

__all__ = ["RandomWalkKernel"]


class RandomWalkKernel(MCMCKernel):
    """Proposes a normal step in unconstrained space and accepts it by Metropolis' rule; final.

    Args:
        model: the model.
        init_step_size: the first standard deviation of a step.
        target_accept_prob: what warm-up adapts the step size to.

    Source: Roberts, Gelman and Gilks 1997, Weak convergence and optimal scaling of random walk Metropolis algorithms:
        0.234 is best for many dimensions. The adaptation is Robbins and Monro's, with gain 1 / sqrt(number of draws).

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.infer import MCMC
        >>> def model(y):
        ...     mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> pyroxene.set_rng_seed(0)
        >>> mcmc = MCMC(RandomWalkKernel(model, init_step_size=1.0), num_samples=1000, disable_progbar=True)
        >>> mcmc.run(torch.tensor(2.0))
        >>> 0.7 < mcmc.get_samples()["mu"].mean().item() < 1.3
        True
    """

    def __init__(self, model: Model, init_step_size: float = 0.1, target_accept_prob: float = 0.234) -> None:
        self.model = model
        self.init_step_size = init_step_size
        self.target_accept_prob = target_accept_prob
        self.transforms: dict[str, Any] = {}
        self._given: TensorDict | None = None
        self._found: TensorDict | None = None
        self._target: Target | None = None
        self._begin(0)

    def _begin(self, warmup_steps: int) -> None:
        self._warmup_steps = warmup_steps
        self._log_step_size = math.log(self.init_step_size)
        self._num_drawn = 0
        self._accepted = 0.0
        self._here: tuple[torch.Tensor, float] | None = None

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        self._begin(warmup_steps)
        target = self._target = model_target(self.model, args, kwargs, engine="eager")
        start = (given_starts(target, self._given, 1) if self._given else starting_points(target, 1, init_to_uniform))[
            0
        ]
        self.transforms = dict(target.transforms)
        self._found = target.split(start)

    @property
    def initial_params(self) -> TensorDict | None:
        """Unconstrained values by site where the chain begins."""
        return self._given if self._found is None else self._found

    @initial_params.setter
    def initial_params(self, params: TensorDict | None) -> None:
        self._given, self._found = params, None

    def sample(self, params: TensorDict) -> TensorDict:
        assert self._target is not None, "setup comes first"
        target = self._target
        position = target.join(params)
        if self._here is None or not torch.equal(self._here[0], position):
            self._here = position, self._log_density(position)
        proposal = position + math.exp(self._log_step_size) * torch.randn(position.shape, dtype=position.dtype)
        proposal = target.join(target.split(proposal))  # as it will come back, in the sites' own precision
        log_density = self._log_density(proposal)
        accept_prob = math.exp(min(log_density - self._here[1], 0.0))
        if torch.rand(()).item() < accept_prob:
            self._here = proposal, log_density
        self._num_drawn += 1
        self._accepted += accept_prob
        if self._num_drawn <= self._warmup_steps:
            self._log_step_size += (accept_prob - self.target_accept_prob) / math.sqrt(self._num_drawn)
        return target.split(self._here[0])

    def _log_density(self, position: torch.Tensor) -> float:
        assert self._target is not None
        value = self._target.density.value_and_grad(position)[0].item()
        return -math.inf if math.isnan(value) else value

    def end_warmup(self) -> None:
        self._accepted = 0.0

    def logging(self) -> dict[str, Any]:
        drawn = self._num_drawn - (self._warmup_steps if self._num_drawn > self._warmup_steps else 0)
        rate = self._accepted / max(drawn, 1)
        return {"step size": f"{math.exp(self._log_step_size):.2e}", "acc. prob": f"{rate:.3f}"}

    def diagnostics(self) -> dict[str, Any]:
        return {"acceptance rate": self._accepted / max(self._num_drawn - self._warmup_steps, 1)}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the density, which `setup` makes anew."""
        return {**self.__dict__, "_target": None}
