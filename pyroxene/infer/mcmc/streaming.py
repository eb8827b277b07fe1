"""StreamingMCMC: statistics of draws, taken as they come; no draws are kept."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.distributions.transforms import Transform

from pyroxene._typing import TensorDict
from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.base import AbstractMCMC
from pyroxene.infer.mcmc.chains import make_chains
from pyroxene.infer.mcmc.hmc import HMC
from pyroxene.infer.mcmc.loops import Hook, run_kernel
from pyroxene.infer.mcmc.mcmc_kernel import MCMCKernel
from pyroxene.infer.mcmc.progress import ProgressLine
from pyroxene.infer.mcmc.results import collect, grave_findings
from pyroxene.infer.mcmc.util import diagnostics_from_stats
from pyroxene.ops.streaming import CountMeanVarianceStats, StatsOfDict, StreamingStats

__all__ = ["StreamingMCMC"]

CHUNK = 256
"""Draws of each chain that are held at once."""


class StreamingMCMC(AbstractMCMC):
    """Draws from a posterior and keeps only statistics: memory does not grow with the number of draws; final.

    Args:
        kernel: makes the transitions.
        num_samples: draws of each chain.
        warmup_steps: draws of warm-up of each chain; as many as draws where it is not given.
        initial_params: unconstrained values by site, with a leading dimension of chains where there are several.
        statistics: takes dicts {(chain, site): value}; count, mean and variance of each where it is not given.
        num_chains: how many chains.
        hook_fn: called after each draw.
        disable_progbar: whether to show no progress.
        disable_validation: kept for programs that pass it.
        transforms: by site, from its support to unconstrained space.
        save_params: only these sites count.
        chain_method: "threads", "sequential" or "vectorized".
        num_threads: at most so many at a time.

    Raises:
        UsageError: `kernel` is no kernel, there is nothing to draw, or no such chain method.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.infer import NUTS
        >>> def model():
        ...     pyroxene.sample("x", dist.Normal(0.0, 1.0))
        >>> mcmc = StreamingMCMC(NUTS(model, engine="eager"), num_samples=50, disable_progbar=True)
        >>> mcmc.run()
        >>> sorted(mcmc.get_statistics(group_by_chain=False)["x"])
        ['count', 'mean', 'variance']
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        num_samples: int,
        warmup_steps: int | None = None,
        initial_params: Mapping[str, torch.Tensor] | None = None,
        statistics: StatsOfDict | None = None,
        num_chains: int = 1,
        hook_fn: Hook | None = None,
        disable_progbar: bool = False,
        disable_validation: bool | None = True,
        transforms: Mapping[str, Transform] | None = None,
        save_params: Sequence[str] | None = None,
        *,
        chain_method: str = "threads",
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            kernel, num_samples, warmup_steps, initial_params, num_chains, hook_fn, disable_progbar,
            disable_validation, transforms, save_params, chain_method, num_threads,
        )  # fmt: skip
        self._first_statistics = StatsOfDict(default=CountMeanVarianceStats) if statistics is None else statistics
        self._statistics = copy.deepcopy(self._first_statistics)
        self._diagnostics: list[dict[str, Any]] = []

    def run(self, *args: Any, **kwargs: Any) -> None:
        self.interrupted = False
        self._statistics = copy.deepcopy(self._first_statistics)
        self._diagnostics = []
        kernel = self._hamiltonian()
        if kernel is None:
            self._run_in_python(args, kwargs)
        else:
            self._run_in_chunks(kernel, args, kwargs)

    def _run_in_chunks(self, kernel: HMC, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        target = self._make_target(kernel, args, kwargs)
        if target.dim == 0:
            warnings.warn("the model has no latent coordinates: there is nothing to sample", stacklevel=3)
            return
        starts = kernel.make_starts(target, self.num_chains, come_down=self.warmup_steps > 0)
        seed = int(torch.randint(2**62, ()))
        chains = make_chains(target.density, starts, kernel.make_options(target), seed=seed)
        names = None if self.save_params is None else set(self.save_params)
        told: list[dict[str, Any]] = [{"divergences": [], "acceptance rate": 0.0} for _ in chains]
        done = 0
        while done < self.num_samples and not self.interrupted:
            count = min(CHUNK, self.num_samples - done)
            self._drive(target, chains, 0 if done else self.warmup_steps, count)
            drawn = collect(target, chains, names)
            self.interrupted = self.interrupted or drawn.interrupted
            splits = {name: value.split(drawn.lengths) for name, value in drawn.samples.items()}
            for number, length in enumerate(drawn.lengths):
                self._take_in(number, {name: parts[number] for name, parts in splits.items()}, length)
                start = sum(drawn.lengths[:number])
                part = slice(start, start + length)
                told[number]["divergences"] += (drawn.stats["diverging"][part].nonzero().flatten() + done).tolist()
                told[number]["acceptance rate"] += drawn.stats["accept_prob"][part].sum().item() / self.num_samples
            done += count
        self._diagnostics = told
        kernel.adopt(target, chains[0])
        for finding in grave_findings(target, chains):
            warnings.warn(str(finding), stacklevel=3)

    def _take_in(self, chain: int, draws: TensorDict, length: int) -> None:
        rows = {name: value.unbind(0) for name, value in draws.items()}
        for row in range(length):
            self._statistics.update({(chain, name): values[row] for name, values in rows.items()})

    def _run_in_python(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        line = ProgressLine(self.num_chains * (self.warmup_steps + self.num_samples), self.disable_progbar)
        try:
            for number in range(self.num_chains):
                if self.initial_params is not None:
                    several = self.num_chains > 1
                    own = {name: v[number] if several else v for name, v in self.initial_params.items()}
                    self.kernel.initial_params = own  # type: ignore[misc]  # a kernel that takes them has a setter

                def keep(params: TensorDict, chain: int = number) -> None:
                    kept = params if self.save_params is None else {name: params[name] for name in self.save_params}
                    self._statistics.update(
                        {(chain, name): self._unconstrained_to_support(name, value) for name, value in kept.items()}
                    )

                run_kernel(
                    self.kernel, args, kwargs, warmup_steps=self.warmup_steps, num_samples=self.num_samples,
                    chain=number, num_chains=self.num_chains, keep=keep, hook=self.hook_fn, line=line,
                )  # fmt: skip
                self._diagnostics.append(self.kernel.diagnostics())
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            line.close()

    def get_statistics(self, group_by_chain: bool = True) -> dict[Any, Any]:
        """Return the statistics.

        Args:
            group_by_chain: True: {(chain, site): statistics}; False: {site: statistics of all chains}.
        """
        if group_by_chain:
            return self._statistics.get()
        merged: dict[Any, StreamingStats] = {}
        for key, stats in self._statistics.stats.items():
            if not isinstance(key, tuple) or len(key) != 2:
                raise UsageError("statistics are not by chain and site", expected="keys (chain, site)", got=key)
            name = key[1]
            merged[name] = merged[name].merge(stats) if name in merged else stats
        return {name: stats.get() for name, stats in merged.items()}

    def diagnostics(self) -> dict[str, Any]:
        """Return {site: {"r_hat": ...}} of the sites with mean and variance, and what the kernel says of each chain."""
        found = diagnostics_from_stats(self._statistics.get(), self.num_samples, self.num_chains)
        for label in dict.fromkeys(label for told in self._diagnostics for label in told):
            found[label] = {f"chain {i}": told.get(label) for i, told in enumerate(self._diagnostics)}
        return found
