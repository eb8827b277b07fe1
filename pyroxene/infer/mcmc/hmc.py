"""Hamiltonian Monte Carlo with trajectories of a fixed length, and what it shares with NUTS."""

from __future__ import annotations

import functools
import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.distributions.transforms import Transform

from pyroxene._typing import Model, TensorDict
from pyroxene.density import init_to_uniform
from pyroxene.errors import UsageError
from pyroxene.infer.mcmc import descent
from pyroxene.infer.mcmc.chain import Chain
from pyroxene.infer.mcmc.chains import make_chains
from pyroxene.infer.mcmc.kept import KeptTarget
from pyroxene.infer.mcmc.mass_matrices import ArrowheadMassMatrix, BlockMassMatrix
from pyroxene.infer.mcmc.mcmc_kernel import MCMCKernel
from pyroxene.infer.mcmc.monitor import Monitor
from pyroxene.infer.mcmc.options import SamplerOptions
from pyroxene.infer.mcmc.starting import given_starts, starting_points
from pyroxene.infer.mcmc.stepping import Step, steps
from pyroxene.infer.mcmc.target import Target, model_target, potential_target

__all__ = ["HMC"]


class HMC(MCMCKernel):
    """Hamiltonian Monte Carlo: trajectories of a fixed length, accepted or rejected at their end; abstract for NUTS.

    Under `MCMC` whole chains run in the sampler; the methods here run one draw by draw, for programs that call them.

    Args:
        model: the model; either this or `potential_fn`.
        potential_fn: from unconstrained values by name to minus the log density; then MCMC needs `initial_params`.
        step_size: the first step size.
        trajectory_length: step size times steps; 2 pi where neither this nor `num_steps` is given.
        num_steps: leapfrogs of a trajectory.
        adapt_step_size: whether warm-up adapts the step size.
        adapt_mass_matrix: whether warm-up adapts the mass matrix.
        full_mass: True: dense; tuples of site names: dense among the sites of each; False: as `metric` says.
        transforms: by site, from its support to unconstrained space, in the place of our own.
        max_plate_nesting: kept for programs that pass it.
        jit_compile: kept for programs that pass it: `engine` says how the density is computed.
        jit_options: kept for programs that pass it.
        ignore_jit_warnings: kept for programs that pass it.
        target_accept_prob: what the step size is adapted to.
        init_strategy: gives sites their first values; see pyroxene.density.initialization.
        min_stepsize: below this a step size has collapsed.
        max_stepsize: kept for programs that pass it.
        engine: "auto" (the fastest that fits the model), "native", "inductor" or "eager".
        metric: "auto", "diagonal", "fisher", "low_rank" or "dense": how warm-up estimates the mass matrix.

    Raises:
        UsageError: neither or both of model and potential are given, or an option has no meaning.

    Source: Neal 2011, MCMC using Hamiltonian dynamics, section 5.3.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.infer import MCMC
        >>> def model(y):
        ...     mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> pyroxene.set_rng_seed(0)
        >>> mcmc = MCMC(HMC(model, trajectory_length=1.0, engine="eager"), num_samples=200, disable_progbar=True)
        >>> mcmc.run(torch.tensor(2.0))
        >>> 0.7 < mcmc.get_samples()["mu"].mean().item() < 1.3
        True
    """

    _algorithm = "hmc"

    def __init__(
        self,
        model: Model | None = None,
        potential_fn: Callable[[TensorDict], torch.Tensor] | None = None,
        step_size: float = 1,
        trajectory_length: float | None = None,
        num_steps: int | None = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        full_mass: bool | Sequence[tuple[str, ...]] = False,
        transforms: Mapping[str, Transform] | None = None,
        max_plate_nesting: int | None = None,
        jit_compile: bool = False,
        jit_options: Mapping[str, Any] | None = None,
        ignore_jit_warnings: bool = False,
        target_accept_prob: float = 0.8,
        init_strategy: Callable[..., Any] = init_to_uniform,
        *,
        min_stepsize: float = 1e-10,
        max_stepsize: float = 1e10,
        engine: str = "auto",
        metric: str = "auto",
    ) -> None:
        if (model is None) == (potential_fn is None):
            raise UsageError(
                "Only one of `model` or `potential_fn` must be specified",
                expected="a model, or a potential_fn",
                got="neither" if model is None else "both",
            )
        self.model = model
        self.transforms: dict[str, Transform] = dict(transforms or {})
        self.given_transforms = dict(transforms or {})
        self._given_potential = potential_fn
        self.trajectory_length = trajectory_length
        self._num_steps = num_steps
        if trajectory_length is None and num_steps is None:
            self.trajectory_length = 2 * math.pi
        self._full_mass = _checked_blocks(full_mass)
        self._init_strategy = init_strategy
        self._max_plate_nesting = max_plate_nesting
        self._min_stepsize, self._max_stepsize = min_stepsize, max_stepsize
        self._first_step_size = 1 if step_size is None else step_size
        self._adapts = (adapt_step_size, adapt_mass_matrix)
        self._target_accept_prob = target_accept_prob
        self._max_tree_depth: tuple[int, int] = (10, 10)
        self._multinomial = True
        self.engine, self.metric = engine, metric
        self._given_params: TensorDict | None = None
        self._mass_matrix: BlockMassMatrix | ArrowheadMassMatrix = BlockMassMatrix()
        self._kept = KeptTarget()
        self._begin(None, None)

    # ---- what MCMC asks for

    def make_target(self, args: tuple[Any, ...], kwargs: dict[str, Any], num_chains: int = 1) -> Target:
        """Return the density that chains move over.

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.
            num_chains: how many chains the initial parameters of a potential are for.

        Raises:
            UsageError: a potential has no initial parameters.
        """
        if self.model is not None:
            first = self._head() if isinstance(self._mass_matrix, ArrowheadMassMatrix) else ()
            options: dict[str, Any] = {"transforms": dict(self.given_transforms), "engine": self.engine, "first": first}
            make = functools.partial(model_target, self.model, args, kwargs, **options)
            return self._kept.get(self.model, args, kwargs, options, make)
        if self._given_params is None:
            raise UsageError(
                "Must provide valid initial parameters to begin sampling when using `potential_fn` in HMC/NUTS kernel",
                expected="initial_params, unconstrained values by name",
                got=None,
                hint="MCMC(kernel, ..., initial_params={...})",
            )
        assert self._given_potential is not None
        lead = int(num_chains > 1)
        return potential_target(self._given_potential, self._given_params, lead, self.given_transforms, self.engine)

    def make_starts(self, target: Target, num_chains: int, *, come_down: bool = False) -> torch.Tensor:
        """Return where chains begin, shape (num_chains, dim), float64.

        Args:
            target: what they move over.
            num_chains: how many.
            come_down: whether points on absurd slopes are left for others below.

        Raises:
            SiteError: no point of finite density was found; the error names the site to blame.
        """
        if self._given_params is not None:
            starts = given_starts(target, self._given_params, num_chains)
        else:
            starts = starting_points(target, num_chains, self._init_strategy)
        return descent.come_down(target.density, starts) if come_down else starts

    def make_options(self, target: Target) -> SamplerOptions:
        """Return what the sampler is told."""
        hmc = self._algorithm == "hmc"
        return SamplerOptions(
            algorithm=self._algorithm,
            step_size=float(self._first_step_size),
            trajectory_length=self.trajectory_length if hmc else None,
            num_steps=self._num_steps if hmc and self.trajectory_length is None else None,
            adapt_step_size=self._adapts[0],
            adapt_mass_matrix=self._adapts[1],
            metric=self._metric_for(target),
            target_accept_prob=self._target_accept_prob,
            max_tree_depth=self._max_tree_depth,
            use_multinomial=self._multinomial,
        )

    def adopt(self, target: Target, chain: Chain | None) -> None:
        """Show a chain's step size, mass matrix and transforms as this kernel's own.

        Args:
            target: what the chain moved over.
            chain: the chain; None where there was nothing to draw.
        """
        self._begin(target, chain)
        self.transforms = dict(target.transforms)
        if chain is not None and chain.draws is not None:
            self._num_drawn = len(chain.draws.positions)
            self._accepted = chain.draws.stats["accept_prob"].sum().item()
            self._divergences.extend(chain.draws.stats["diverging"].nonzero().flatten().tolist())

    # ---- one chain by hand

    def _begin(self, target: Target | None, chain: Chain | None) -> None:
        self._target, self._chain = target, chain
        self._steps: Iterator[Step] | None = None
        self._last: torch.Tensor | None = None
        self._found_params: TensorDict | None = None
        self._warmup_steps = 0
        self._num_drawn = 0
        self._accepted = 0.0
        self._divergences: list[int] = []

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        target = self.make_target(args, kwargs)
        starts = self.make_starts(target, 1)
        if target.dim == 0:
            raise UsageError("there is nothing to sample: the model has no latent site")
        seed = int(torch.randint(2**62, ()))
        (chain,) = make_chains(target.density, starts, self.make_options(target), seed=seed)
        self.adopt(target, chain)
        self._found_params = target.split(starts[0])
        self._steps = steps(chain, target.density, warmup_steps, Monitor(1))
        self._warmup_steps = warmup_steps
        self._last = starts[0]

    def sample(self, params: TensorDict) -> TensorDict:
        if not params:
            return params
        if self._steps is None or self._target is None or self._chain is None or self._last is None:
            raise UsageError("the kernel is not set up", hint="kernel.setup(warmup_steps, *args), then sample")
        target = self._target
        asked = target.join(params)
        if not torch.equal(asked, target.join(target.split(self._last))):
            self._chain.sampler.start(asked.numpy())
        step = next(self._steps, None)
        if step is None:
            raise UsageError("the density is not finite at these parameters", got=sorted(params))
        self._last = step.position
        self._num_drawn += 1
        drawn = self._num_drawn - self._warmup_steps
        if drawn > 0:
            self._accepted += step.accept_prob
            if step.diverging:
                self._divergences.append(drawn - 1)
        return target.split(step.position)

    def cleanup(self) -> None:
        self._steps = None

    def logging(self) -> dict[str, Any]:
        shown = {"step size": f"{self.step_size:.2e}"}
        if self._num_drawn > self._warmup_steps:
            shown["acc. prob"] = f"{self._accepted / (self._num_drawn - self._warmup_steps):.3f}"
        return shown

    def diagnostics(self) -> dict[str, Any]:
        drawn = max(self._num_drawn - self._warmup_steps, 1)
        return {"divergences": list(self._divergences), "acceptance rate": self._accepted / drawn}

    # ---- what it is and has become

    @property
    def initial_params(self) -> TensorDict | None:
        """Unconstrained values by site where chains begin; None where a strategy gives them."""
        return self._given_params if self._found_params is None else self._found_params

    @initial_params.setter
    def initial_params(self, params: TensorDict | None) -> None:
        self._given_params, self._found_params = params, None

    @property
    def potential_fn(self) -> Callable[[TensorDict], torch.Tensor] | None:
        """From unconstrained values by site to minus the log density; None before `setup` for a model."""
        if self._given_potential is not None or self._target is None:
            return self._given_potential
        return self._target.potential

    @property
    def step_size(self) -> float:
        """The step size now."""
        return self._first_step_size if self._chain is None else self._chain.sampler.step_size

    @property
    def num_steps(self) -> int:
        """Leapfrogs of an HMC trajectory at the present step size."""
        if self.trajectory_length is None:
            assert self._num_steps is not None
            return self._num_steps
        return max(1, int(self.trajectory_length / self.step_size))

    @property
    def deepest_tree(self) -> int | None:
        """How often a trajectory may double after warm-up; None where its length is fixed."""
        return None if self._algorithm == "hmc" else self._max_tree_depth[1]

    @property
    def mass_matrix_adapter(self) -> BlockMassMatrix | ArrowheadMassMatrix:
        """The mass matrix by site names; set an `ArrowheadMassMatrix` to have one of that kind."""
        if self._target is not None and self._chain is not None:
            self._mass_matrix.inverse_mass_matrix = self.inverse_mass_matrix
        return self._mass_matrix

    @mass_matrix_adapter.setter
    def mass_matrix_adapter(self, value: BlockMassMatrix | ArrowheadMassMatrix) -> None:
        self._mass_matrix = value

    @property
    def inverse_mass_matrix(self) -> dict[tuple[str, ...], torch.Tensor]:
        """By tuples of site names the diagonal, shape (size,), or the matrix, shape (size, size), of each block."""
        if self._target is None or self._chain is None:
            return {}
        inverse = torch.from_numpy(self._chain.values.inverse_mass()).to(torch.get_default_dtype())
        blocks = self._blocks(sorted(self._target.shapes))
        found = {}
        for names, dense in blocks.items():
            index = [i for name in names for i in self._target.indices(name)]
            if dense:
                whole = inverse if inverse.dim() == 2 else inverse.diag()
                found[names] = whole[index][:, index]
            else:
                found[names] = (inverse if inverse.dim() == 1 else inverse.diagonal())[index]
        return found

    def _blocks(self, names: list[str]) -> dict[tuple[str, ...], bool]:
        """Return tuples of site names and whether each block is dense."""
        if isinstance(self._mass_matrix, ArrowheadMassMatrix):
            head = self._head()
            return {(*head, *(name for name in names if name not in head)): True}
        if self._full_mass is True or self.metric == "dense":
            return {tuple(names): True}
        given = [] if self._full_mass is False else list(self._full_mass)
        blocks = dict.fromkeys(given, True)
        rest = tuple(name for name in names if not any(name in block for block in given))
        if rest:
            blocks[rest] = False
        return blocks

    def _head(self) -> tuple[str, ...]:
        if isinstance(self._full_mass, bool):
            return ()
        return tuple(name for block in self._full_mass for name in block)

    def _metric_for(self, target: Target) -> Any:
        named = [] if isinstance(self._full_mass, bool) else list(self._full_mass)
        unknown = {name for block in named for name in block} - set(target.shapes)
        if unknown:
            raise UsageError(
                "full_mass names sites that the model does not have",
                expected=sorted(target.shapes),
                got=sorted(unknown),
            )
        if isinstance(self._mass_matrix, ArrowheadMassMatrix):
            head = target.dim if self._full_mass is True else sum(len(target.indices(name)) for name in self._head())
            return ("arrowhead", head)
        if self._full_mass is True:
            return "dense"
        if named:
            return ("block", [[i for name in block for i in target.indices(name)] for block in named])
        return self.metric

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to one process, and a model that cannot be pickled, such as a closure."""
        state = self.__dict__.copy()
        state.update(_target=None, _chain=None, _steps=None, _first_step_size=self.step_size)
        for name in ("model", "_given_potential", "_init_strategy"):
            try:
                pickle.dumps(state[name])
            except (pickle.PicklingError, AttributeError, TypeError):
                state[name] = None
        return state


def _checked_blocks(full_mass: bool | Sequence[tuple[str, ...]]) -> bool | list[tuple[str, ...]]:
    if isinstance(full_mass, bool):
        return full_mass
    fine = isinstance(full_mass, (list, tuple)) and all(
        isinstance(block, (list, tuple)) and all(isinstance(name, str) for name in block) for block in full_mass
    )
    if not fine:
        raise UsageError(
            "full_mass should be a list of tuples of site names",
            expected='True, False, or such as [("mu", "tau"), ("theta",)]',
            got=full_mass,
        )
    return [tuple(block) for block in full_mass]
