"""What MCMC and StreamingMCMC share: the checks of their arguments, and how a run is driven."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import torch
from torch.distributions.transforms import Transform

from pyroxene._typing import TensorDict
from pyroxene.errors import UsageError, describe
from pyroxene.infer.mcmc.chain import Chain
from pyroxene.infer.mcmc.chains import CHAIN_METHODS, continue_chains
from pyroxene.infer.mcmc.hmc import HMC
from pyroxene.infer.mcmc.loops import Hook, stage_name
from pyroxene.infer.mcmc.mcmc_kernel import MCMCKernel
from pyroxene.infer.mcmc.monitor import Monitor
from pyroxene.infer.mcmc.progress import ProgressLine
from pyroxene.infer.mcmc.sampler import Outcome
from pyroxene.infer.mcmc.stepping import draws_one_by_one
from pyroxene.infer.mcmc.target import Target

__all__ = ["AbstractMCMC"]


class AbstractMCMC(ABC):
    """A run of a kernel over several chains; abstract.

    Implementing a run: define `run`, which makes draws and keeps of them what it is for, and `diagnostics`.

    Args:
        kernel: makes the transitions.
        num_samples: draws of each chain.
        warmup_steps: draws of warm-up of each chain; as many as draws where it is not given.
        initial_params: unconstrained values by site, with a leading dimension of chains where there are several.
        num_chains: how many chains.
        hook_fn: called after each draw.
        disable_progbar: whether to show no progress.
        disable_validation: kept for programs that pass it: a density checks its model once, when it is made.
        transforms: by site, from its support to unconstrained space.
        save_params: only these sites are kept.
        chain_method: "threads", "sequential" or "vectorized".
        num_threads: at most so many at a time.
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        num_samples: int,
        warmup_steps: int | None,
        initial_params: Mapping[str, torch.Tensor] | None,
        num_chains: int,
        hook_fn: Hook | None,
        disable_progbar: bool,
        disable_validation: bool | None,
        transforms: Mapping[str, Transform] | None,
        save_params: Sequence[str] | None,
        chain_method: str,
        num_threads: int | None,
    ) -> None:
        if not callable(getattr(kernel, "sample", None)) or isinstance(kernel, type):
            raise UsageError("MCMC takes a kernel", expected="such as NUTS(model)", got=kernel)
        if num_chains < 1 or num_samples < 1:
            raise UsageError("there is nothing to draw", expected="num_samples and num_chains of 1 or more",
                             got=f"num_samples={num_samples}, num_chains={num_chains}")  # fmt: skip
        if chain_method not in CHAIN_METHODS:
            raise UsageError("there is no such chain method", expected=f"one of {CHAIN_METHODS}", got=chain_method)
        self.kernel = kernel
        self.num_samples = num_samples
        self.warmup_steps = num_samples if warmup_steps is None else warmup_steps
        self.num_chains = num_chains
        self.hook_fn = hook_fn
        self.disable_progbar = disable_progbar
        self.disable_validation = disable_validation
        self.transforms: dict[str, Transform] = dict(transforms or {})
        self._given_transforms = dict(self.transforms)
        self.save_params = None if save_params is None else list(save_params)
        self.chain_method = chain_method
        self.num_threads = num_threads
        self.interrupted = False
        self.initial_params = self._checked_params(initial_params)

    def _checked_params(self, initial_params: Mapping[str, torch.Tensor] | None) -> TensorDict | None:
        if initial_params is None:
            return None
        for name, value in initial_params.items():
            if self.num_chains > 1 and (value.dim() == 0 or value.shape[0] != self.num_chains):
                raise UsageError(
                    "The leading dimension of tensors in `initial_params` must match the number of chains",
                    site=name,
                    expected=f"shape ({self.num_chains}, ...)",
                    got=describe(value),
                )
        return dict(initial_params)

    @abstractmethod
    def run(self, *args: Any, **kwargs: Any) -> None:
        """Draw.

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.
        """

    @abstractmethod
    def diagnostics(self) -> dict[str, Any]:
        """Return what the draws say of the run's quality, by site, and what the kernel says, by chain."""

    # ---- what both kinds of runs do

    def _hamiltonian(self) -> HMC | None:
        """Return the kernel where whole chains can run in the sampler: HMC or NUTS, its transition its own."""
        kernel = self.kernel
        return kernel if isinstance(kernel, HMC) and type(kernel).sample is HMC.sample else None

    def _make_target(self, kernel: HMC, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Target:
        if self.initial_params is not None:
            kernel.initial_params = self.initial_params
        if self._given_transforms:
            kernel.given_transforms = self._given_transforms
        target = kernel.make_target(args, kwargs, self.num_chains)
        unknown = set(self.save_params or ()) - set(target.shapes)
        if unknown:
            raise UsageError(
                "save_params names sites that the model does not have",
                expected=sorted(target.shapes),
                got=sorted(unknown),
            )
        self.transforms = dict(target.transforms)
        return target

    def _drive(self, target: Target, chains: Sequence[Chain], num_warmup: int, num_draws: int) -> None:
        """Let chains warm up and draw; Ctrl-C ends them with what they have."""
        line = ProgressLine(len(chains) * (num_warmup + num_draws), self.disable_progbar)
        monitor = Monitor(len(chains), on_tick=line.watch)
        try:
            if self.hook_fn is not None:
                self._drive_with_hook(target, chains, num_warmup, num_draws, monitor)
            else:
                continue_chains(
                    target.density,
                    chains,
                    num_warmup=num_warmup,
                    num_draws=num_draws,
                    num_threads=self.num_threads,
                    chain_method=self.chain_method,
                    monitor=monitor,
                )
        finally:
            line.close()
        self.interrupted = self.interrupted or bool(monitor.stop[0])

    def _drive_with_hook(
        self, target: Target, chains: Sequence[Chain], num_warmup: int, num_draws: int, monitor: Monitor
    ) -> None:
        """One draw at a time, so that the hook sees each; the same draws as without a hook."""
        kernel = self._hamiltonian()
        assert kernel is not None and self.hook_fn is not None
        continue_chains(target.density, chains, num_warmup=0, num_draws=0)  # every chain has draws: none
        try:
            for chain in chains:
                kernel.adopt(target, chain)
                for stage, count in (("Warmup", num_warmup), ("Sample", num_draws)):
                    if not count or chain.outcome != Outcome.FINISHED:
                        continue
                    program = (chain.warmup_program if stage == "Warmup" else chain.sampling_program)(count, monitor)
                    name = stage_name(stage, chain.number, len(chains))
                    with closing(draws_one_by_one(chain, target.density, program, monitor)) as draws:
                        for number, step in enumerate(draws):
                            self.hook_fn(kernel, target.split(step.position), name, number)
                            monitor.tick()
        except KeyboardInterrupt:
            monitor.interrupt()

    def _unconstrained_to_support(self, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return draws of a kernel in Python on the site's support."""
        transforms = self.transforms or getattr(self.kernel, "transforms", None) or {}
        if name not in transforms:
            return value
        on_support: torch.Tensor = transforms[name].inv(value)
        return on_support
