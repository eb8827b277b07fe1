"""MCMC: chains of a kernel, their draws, and what these say."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.distributions.transforms import Transform

from pyroxene._typing import TensorDict
from pyroxene.diagnostics import Finding, Summary, judge, summarize
from pyroxene.errors import UnsupportedError, UsageError
from pyroxene.infer.mcmc.base import AbstractMCMC
from pyroxene.infer.mcmc.chain import Chain
from pyroxene.infer.mcmc.chains import make_chains
from pyroxene.infer.mcmc.hmc import HMC
from pyroxene.infer.mcmc.loops import Hook, run_kernel
from pyroxene.infer.mcmc.mcmc_kernel import MCMCKernel
from pyroxene.infer.mcmc.progress import ProgressLine
from pyroxene.infer.mcmc.results import RunDraws, collect, grave_findings
from pyroxene.infer.mcmc.starting import refuse_impossible
from pyroxene.infer.mcmc.streaming import StreamingMCMC
from pyroxene.infer.mcmc.target import Target
from pyroxene.infer.mcmc.util import diagnostics, select_samples

__all__ = ["MCMC", "StreamingMCMC"]

VERSION = 1
"""Of what `state_dict` gives."""


class MCMC(AbstractMCMC):
    """Draws from a posterior by Markov chains; final.

    Args:
        kernel: makes the transitions: `NUTS`, `HMC`, or a kernel of your own.
        num_samples: draws of each chain.
        warmup_steps: draws of warm-up of each chain; as many as draws where it is not given.
        initial_params: unconstrained values by site, with a leading dimension of chains where there are several.
        num_chains: how many chains; those of NUTS and HMC run in threads.
        hook_fn: called after each draw with the kernel, the draw (unconstrained), "Warmup" or "Sample" and a number;
            draws are then made one by one.
        mp_context: kept for programs that pass it: chains are no processes here.
        disable_progbar: whether to show no progress.
        disable_validation: kept for programs that pass it: a density checks its model once, when it is made.
        transforms: by site, from its support to unconstrained space.
        save_params: only these sites are kept.
        chain_method: "threads", "sequential", or "vectorized": one batched evaluation for a step of all chains.
        num_threads: at most so many at a time; None: one for each processor that this process may use.

    Attributes:
        interrupted: whether Ctrl-C ended the last run; the draws so far are there.

    Raises:
        UsageError: `kernel` is no kernel, there is nothing to draw, or no such chain method.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.infer import NUTS
        >>> def model():
        ...     pyroxene.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        >>> mcmc = MCMC(NUTS(model, engine="eager"), num_samples=50, num_chains=2, disable_progbar=True)
        >>> mcmc.run()
        >>> mcmc.get_samples()["x"].shape, mcmc.get_samples(group_by_chain=True)["x"].shape
        (torch.Size([100, 2]), torch.Size([2, 50, 2]))
    """

    def __init__(
        self,
        kernel: MCMCKernel,
        num_samples: int,
        warmup_steps: int | None = None,
        initial_params: Mapping[str, torch.Tensor] | None = None,
        num_chains: int = 1,
        hook_fn: Hook | None = None,
        mp_context: str | None = None,
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
        self._draws: RunDraws | None = None
        self._chains: list[Chain] = []
        self._target: Target | None = None
        self._called_with: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._goes_on = False
        self._loaded: dict[str, Any] | None = None

    # ---- drawing

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Warm up and draw; right after `warmup` or `load_state_dict`, draw from where that left the chains.

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.

        Raises:
            SiteError: the density is not finite wherever chains might begin; the error names the first such site.
            UnsupportedError: a plate subsamples.
            SupportError: a latent site is discrete.
        """
        goes_on = self._goes_on
        self._draw(args, kwargs, self.num_samples, warm_up=not goes_on, keep=None)

    def run_more(self, num_samples: int | None = None, *args: Any, **kwargs: Any) -> None:
        """Go on where the last run ended, and add the draws to those so far.

        Args:
            num_samples: more draws of each chain; as many as in `run` where it is not given.
            args: the model's arguments; those of the last run where none are given.
            kwargs: the model's keyword arguments.

        Raises:
            UsageError: there is nothing to go on from.
        """
        if self._loaded is None and not self._chains:
            raise UsageError("there is no run to go on from", hint="mcmc.run(*args), or mcmc.load_state_dict(state)")
        if not args and not kwargs and self._called_with is not None:
            args, kwargs = self._called_with
        self._draw(args, kwargs, num_samples or self.num_samples, warm_up=False, keep=self._draws)

    def warmup(self, *args: Any, **kwargs: Any) -> None:
        """Adapt step size and mass matrix only; `run` then draws without warm-up.

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.
        """
        kernel = self._resumable("warmup()")
        self.interrupted = False
        target = self._open(kernel, args, kwargs, fresh=True)
        self._chains, self._loaded = self._fresh_chains(kernel, target), None
        self._drive(target, self._chains, self.warmup_steps, 0)
        self._draws = None
        self._goes_on = not self.interrupted
        self._show(kernel, target)

    def _draw(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], num_draws: int, *, warm_up: bool, keep: RunDraws | None
    ) -> None:
        self.interrupted = False
        kernel = self._hamiltonian()
        if kernel is None:
            self._draws = self._run_in_python(args, kwargs)
            return
        before = self._target
        target = self._open(kernel, args, kwargs, fresh=warm_up or self._loaded is not None)
        if warm_up:
            self._chains = self._fresh_chains(kernel, target)
        elif self._loaded is not None:
            self._chains = self._restored_chains(kernel, target, self._loaded)
        elif target is not before:  # other data: densities and gradients that chains remember are no longer true
            for chain in self._chains:
                chain.sampler.start(chain.sampler.draw[0])
        self._loaded, self._goes_on = None, False
        if target.dim == 0:
            self._draws = self._nothing_to_draw(target)
            return
        self._drive(target, self._chains, self.warmup_steps if warm_up else 0, num_draws)
        names = None if self.save_params is None else set(self.save_params)
        refuse_impossible(target, self._chains)
        drawn = collect(target, self._chains, names)
        self.interrupted = self.interrupted or drawn.interrupted
        self._draws = drawn if keep is None else keep.followed_by(drawn)
        self._show(kernel, target)
        for finding in grave_findings(target, self._chains):
            warnings.warn(str(finding), stacklevel=3)
        for chain in self._chains:
            chain.draws = None  # they are handed out by site from here on

    def _open(self, kernel: HMC, args: tuple[Any, ...], kwargs: dict[str, Any], *, fresh: bool) -> Target:
        """Return the target: a new one, or the last one where a run goes on with the same objects."""
        before, self._called_with = self._called_with, (args, kwargs)
        if not fresh and self._target is not None and before is not None:
            same = len(before[0]) == len(args) and all(a is b for a, b in zip(before[0], args))
            if same and before[1].keys() == kwargs.keys() and all(before[1][name] is kwargs[name] for name in kwargs):
                return self._target
        self._target = self._make_target(kernel, args, kwargs)
        return self._target

    def _fresh_chains(self, kernel: HMC, target: Target) -> list[Chain]:
        starts = kernel.make_starts(target, self.num_chains, come_down=self.warmup_steps > 0)
        if target.dim == 0:
            return []
        seed = int(torch.randint(2**62, ()))
        return make_chains(target.density, starts, kernel.make_options(target), seed=seed)

    def _nothing_to_draw(self, target: Target) -> RunDraws:
        warnings.warn("the model has no latent coordinates: there is nothing to sample", stacklevel=4)
        lengths = (self.num_samples,) * self.num_chains
        nothing = torch.zeros(self.num_samples * self.num_chains, 0, dtype=torch.float64)
        return RunDraws(target.constrain(nothing), lengths, num_steps_total=(0,) * self.num_chains)

    def _show(self, kernel: HMC, target: Target) -> None:
        kernel.adopt(target, self._chains[0] if self._chains else None)

    def _run_in_python(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> RunDraws:
        """Run a kernel that users write, chain after chain, in this thread."""
        kept: list[list[TensorDict]] = [[] for _ in range(self.num_chains)]
        told: list[dict[str, Any]] = []
        line = ProgressLine(self.num_chains * (self.warmup_steps + self.num_samples), self.disable_progbar)
        try:
            for number in range(self.num_chains):
                if self.initial_params is not None:
                    several = self.num_chains > 1
                    own = {name: v[number] if several else v for name, v in self.initial_params.items()}
                    self.kernel.initial_params = own  # type: ignore[misc]  # a kernel that takes them has a setter
                run_kernel(
                    self.kernel, args, kwargs, warmup_steps=self.warmup_steps, num_samples=self.num_samples,
                    chain=number, num_chains=self.num_chains, keep=kept[number].append, hook=self.hook_fn, line=line,
                )  # fmt: skip
                told.append(self.kernel.diagnostics())
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            line.close()
        every = [draw for chain in kept for draw in chain]
        names = list(every[0]) if every else []
        samples = {
            name: self._unconstrained_to_support(name, torch.stack([draw[name] for draw in every]))
            for name in (names if self.save_params is None else self.save_params)
        }
        lengths = tuple(map(len, kept))
        return RunDraws(samples, lengths, interrupted=self.interrupted, chain_diagnostics=tuple(told))

    # ---- looking at draws

    def _drawn(self) -> RunDraws:
        if self._draws is None:
            raise UsageError("there are no draws yet", hint="mcmc.run(*args)")
        return self._draws

    def get_samples(self, num_samples: int | None = None, group_by_chain: bool = False) -> TensorDict:
        """Return draws on their supports, by site.

        Args:
            num_samples: pick so many at random, with replacement; None: all, chain after chain.
            group_by_chain: whether to keep a dimension of chains. After an interrupt chains may differ in length: then
                they are cut to the shortest, and those without draws left out.

        Returns:
            shape (num_draws, *site shape), or (num_chains, num_draws, *site shape); of the site's dtype.
        """
        drawn = self._drawn()
        if num_samples is None and not group_by_chain:
            return dict(drawn.samples)
        return select_samples(drawn.by_chain(drawn.samples), num_samples, group_by_chain)

    def get_extra_fields(self, group_by_chain: bool = False) -> TensorDict:
        """Return what the sampler says of each draw, by name.

        Args:
            group_by_chain: whether to keep a dimension of chains.

        Returns:
            "accept_prob", "step_size", "tree_depth", "num_steps" (leapfrogs), "energy", "diverging", shape (num_draws,)
            or (num_chains, num_draws); and "num_steps_total", leapfrogs with warm-up: of all chains, shape (), or of
            each, shape (num_chains,). Empty for kernels that users write.
        """
        drawn = self._drawn()
        if not drawn.stats:
            return {}
        fields = drawn.by_chain(drawn.stats) if group_by_chain else dict(drawn.stats)
        total = torch.tensor(drawn.num_steps_total)
        fields["num_steps_total"] = total if group_by_chain else total.sum()
        return fields

    def get_divergences(self) -> TensorDict:
        """Return where trajectories diverged: by site the values where the leapfrog began, "chain" and "draw".

        At most 100 of each chain are kept; `get_extra_fields()["diverging"]` counts all.
        """
        return dict(self._drawn().divergences)

    def diagnostics(self) -> dict[str, Any]:
        """Return {site: {"n_eff": ..., "r_hat": ...}}, and by chain the numbers of draws that diverged and the rate.

        R-hat and effective sizes are Pyro's classic ones; `table` has those by ranks.
        """
        drawn = self._drawn()
        found = diagnostics(drawn.by_chain(drawn.samples))
        if not drawn.stats:
            for label in sorted({label for told in drawn.chain_diagnostics for label in told}):
                found[label] = {f"chain {i}": told.get(label) for i, told in enumerate(drawn.chain_diagnostics)}
            return found
        diverging = drawn.stats["diverging"].split(drawn.lengths)
        accepted = drawn.stats["accept_prob"].split(drawn.lengths)
        found["divergences"] = {f"chain {i}": part.nonzero().flatten().tolist() for i, part in enumerate(diverging)}
        found["acceptance rate"] = {f"chain {i}": part.mean().item() for i, part in enumerate(accepted)}
        return found

    def table(self, prob: float = 0.9) -> Summary:
        """Return the table of the draws.

        Args:
            prob: mass between the outer quantiles.
        """
        drawn = self._drawn()
        return summarize(drawn.by_chain(drawn.samples), ((1 - prob) / 2, (1 + prob) / 2))

    def findings(self, table: Summary | None = None) -> list[Finding]:
        """Return what is wrong with the draws, each with its cure; nothing where all is well.

        Args:
            table: the table of these draws, where it is at hand.
        """
        drawn = self._drawn()
        table = self.table() if table is None else table
        if not drawn.stats:
            return judge(table)
        deepest = self.kernel.deepest_tree if isinstance(self.kernel, HMC) else None
        deep = int((drawn.stats["tree_depth"] >= deepest).sum()) if deepest is not None else 0
        return judge(table, num_divergences=int(drawn.stats["diverging"].sum()), num_deep=deep, max_tree_depth=deepest)

    def summary(self, prob: float = 0.9) -> None:
        """Print the table of the draws, the number of divergences, and what is wrong, if anything.

        Args:
            prob: mass between the outer quantiles.
        """
        table = self.table(prob)
        print(f"\n{table}\n")
        drawn = self._drawn()
        if "diverging" in drawn.stats:
            print(f"Number of divergences: {int(drawn.stats['diverging'].sum())}")
        for finding in self.findings(table):
            print(f"- {finding}")

    # ---- saving and going on

    def _resumable(self, what: str) -> HMC:
        kernel = self._hamiltonian()
        if kernel is None:
            raise UnsupportedError(
                f"{what} is for NUTS and HMC", got=type(self.kernel).__name__, hint="pickle the kernel, or run() it"
            )
        return kernel

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values from which another process goes on with identical draws.

        `torch.save` it; `torch.load(..., weights_only=True)` reads it. It holds the draws so far, not model and data.
        """
        self._resumable("state_dict()")
        if not self._chains or self._target is None:
            raise UsageError("there is nothing to save yet", hint="mcmc.warmup(*args) or mcmc.run(*args)")
        return {
            "version": VERSION,
            "sites": {name: list(shape) for name, shape in self._target.shapes.items()},
            "chains": [chain.state_dict() for chain in self._chains],
            "draws": None if self._draws is None else self._draws.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over another run's state; the next `run` or `run_more` goes on from it.

        Args:
            state: what `state_dict` gave in a run with the same kernel options and number of chains.

        Raises:
            UsageError: it was made by another version, or with another number of chains.
        """
        self._resumable("load_state_dict()")
        if state.get("version") != VERSION or len(state["chains"]) != self.num_chains:
            raise UsageError(
                "the state does not fit this run",
                expected=f"version {VERSION}, {self.num_chains} chains",
                got=f"version {state.get('version')}, {len(state.get('chains', []))} chains",
            )
        self._loaded = state
        self._goes_on = True
        self._draws = None if state["draws"] is None else RunDraws.of_state_dict(state["draws"])

    def _restored_chains(self, kernel: HMC, target: Target, state: dict[str, Any]) -> list[Chain]:
        here = {name: list(shape) for name, shape in target.shapes.items()}
        if list(state["sites"].items()) != list(here.items()):
            raise UsageError("the state is another model's", expected=here, got=state["sites"])
        starts = torch.zeros(self.num_chains, target.dim, dtype=torch.float64)
        chains = make_chains(target.density, starts, kernel.make_options(target), seed=0)
        for chain, saved in zip(chains, state["chains"]):
            chain.load_state_dict(saved)
        return chains

    def __getstate__(self) -> dict[str, Any]:
        """Keep the draws and the chains' state; the density is made anew by the next run."""
        state = self.__dict__.copy()
        state.update(_target=None, _called_with=None, _chains=[], hook_fn=None)
        if self._chains:
            state["_loaded"] = self.state_dict()
        return state
