"""The log density of a model's latent sites as a pure function of one flat unconstrained vector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
import torch

from pyroxene._typing import Model, TensorDict
from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.graph import Graph
from pyroxene.density.compiled import CompiledDensity, compile_density
from pyroxene.density.initialization import InitMessenger, init_to_feasible, init_to_median, init_to_uniform
from pyroxene.density.layout import Layout
from pyroxene.density.structure import Structure, trace_structure
from pyroxene.density.validation import unvalidated, without_checks
from pyroxene.distributions.util import scale_and_mask
from pyroxene.errors import ParameterError, SiteError, UsageError
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger, block_messengers
from pyroxene.poutine.trace_struct import site_is_subsample
from pyroxene.rng import get_rng_state, set_rng_seed, set_rng_state

__all__ = ["LogDensity", "log_density"]


class _Accumulate(Messenger):
    """Gives latent sites their values and adds up the sites' log densities."""

    def __init__(self, values: Mapping[str, torch.Tensor], total: torch.Tensor) -> None:
        super().__init__()
        self.values = values
        self.total = total
        self.visited = 0

    def _pyro_sample(self, msg: Message) -> None:
        if msg["is_observed"] or msg["done"] or site_is_subsample(msg):
            return
        name = msg["name"]
        if name not in self.values:
            raise SiteError(
                f"latent site '{name}' was not there when the density was made",
                site=name,
                source=msg.get("source"),
                expected=f"the latent sites {sorted(self.values)}",
                got=name,
                hint="the model's structure must not depend on latent values",
            )
        msg["value"] = self.values[name]
        msg["done"] = True
        self.visited += 1

    def _pyro_post_sample(self, msg: Message) -> None:
        mask = _with_unneeded(msg["mask"], msg["infer"].get("unneeded"))
        if mask is False or site_is_subsample(msg):
            return
        log_prob = unvalidated(msg["fn"]).log_prob(msg["value"], *msg["args"], **msg["kwargs"])
        weighted: Any = scale_and_mask(log_prob, msg["scale"], mask)
        self.total = self.total + weighted.sum()


def _with_unneeded(mask: Any, unneeded: Any) -> Any:
    """Return a mask under which the latent part of a site with `obs_mask` has a density where it is observed, too.

    Nothing reads these values. Without a density they are flat directions, in which a trajectory never turns round and
    a chain drifts to infinity; with their prior's they change nothing of the other sites.
    """
    if unneeded is None or mask is None:
        return mask
    if isinstance(unneeded, bool) or isinstance(mask, bool):
        return unneeded if mask is False else mask if unneeded is False else True
    return mask | unneeded


@dataclass(frozen=True)
class LogDensity:
    """log p(latent values, data) as a function of an unconstrained vector, up to no constant; final.

    A pure, picklable value: the same z gives the same number, under `torch.func.grad` and `torch.func.vmap` too.
    Parameters in the store are constants of it.

    Attributes:
        model: the model.
        data: the model's arguments by name.
        layout: where each latent site lives in z.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.density import log_density
        >>> def model():
        ...     pyroxene.sample("scale", dist.HalfNormal(2.0))
        >>> density = log_density(model)
        >>> density.dim, density(torch.zeros(1)).round(decimals=3)
        (1, tensor(-1.0440))
        >>> density.value_and_grad(torch.zeros(1))[1]  # 1 - 1 / 4
        tensor([0.7500])
    """

    model: Model
    data: Mapping[str, Any]
    layout: Layout
    structure: Structure = field(repr=False, compare=False)

    @property
    def dim(self) -> int:
        """The length of z."""
        return self.layout.dim

    @property
    def device(self) -> torch.device:
        """Where the model computes: the device of its first latent value."""
        for site in self.structure.latent_sites.values():
            return torch.device(site["value"].device)
        return torch.device("cpu")

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the log density at z, with the log-Jacobian of the map to the supports.

        Args:
            z: unconstrained, shape (dim,), on `device`.

        Returns:
            a scalar; -inf where the data are impossible, nan where the model computes nan.
        """
        if z.shape != (self.dim,):
            raise UsageError(
                "z does not fit the density",
                expected=f"shape ({self.dim},)",
                got=f"shape {tuple(z.shape)}",
                hint="torch.func.vmap(density)(z) for a batch",
            )
        values, log_jacobian = self.layout.constrain_with_log_jacobian(z)
        accumulate = _Accumulate(values, log_jacobian)
        with block_messengers(lambda handler: True), without_checks(), accumulate:
            _call(self.model, self.data)
        if accumulate.visited != len(self.layout.slots):
            raise SiteError(
                "latent sites are missing that were there when the density was made",
                expected=f"{len(self.layout.slots)} latent sites",
                got=f"{accumulate.visited}",
                hint="the model's structure must not depend on latent values",
            )
        return accumulate.total

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log density, a scalar, and its gradient, shape (dim,).

        Args:
            z: unconstrained, shape (dim,).
        """
        leaf = z.detach().requires_grad_(True)
        with torch.enable_grad():
            value = self(leaf)
            (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient

    def constrain(self, z: torch.Tensor) -> TensorDict:
        """Return the sites' values on their supports, shape sample_shape + the site's shape.

        Args:
            z: unconstrained, shape sample_shape + (dim,).
        """
        return self.layout.constrain(z)

    def unconstrain(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return z of values on their supports, shape sample_shape + (dim,)."""
        return self.layout.unconstrain(values)

    def initial_point(self, strategy: Callable[[Any], Any] = init_to_uniform, rng: int | None = None) -> torch.Tensor:
        """Return a starting point, shape (dim,), on the processor.

        Args:
            strategy: gives each site a first value; see pyroxene.density.initialization.
            rng: a seed; the generators' states are put back afterwards. None draws from the current state.
        """
        before = get_rng_state()
        if rng is not None:
            set_rng_seed(rng)
        try:
            with block_messengers(lambda handler: True):
                structure = _structure(self.model, self.data, strategy)
        finally:
            if rng is not None:
                set_rng_state(before)
        values = {name: site["value"] for name, site in structure.latent_sites.items()}
        return self.layout.unconstrain(values).detach().cpu()

    def with_data(self, **new: Any) -> LogDensity:
        """Return the same density for other data.

        Data of other shapes may change how long z is: the model then runs once more, with all checks on.

        Args:
            new: arguments of the model by name.

        Raises:
            UsageError: the model has no such argument.

        Example:
            >>> import pyroxene, pyroxene.distributions as dist
            >>> def model(y):
            ...     with pyroxene.plate("rows", len(y)):
            ...         level = pyroxene.sample("level", dist.Normal(0.0, 1.0))
            ...         pyroxene.sample("y", dist.Normal(level, 1.0), obs=y)
            >>> density = log_density(model, torch.zeros(3))
            >>> density.with_data(y=torch.ones(3)).dim, density.with_data(y=torch.ones(5)).dim
            (3, 5)
        """
        unknown = set(new) - set(self.data)
        if unknown:
            raise UsageError(
                f"the model has no argument {sorted(unknown)[0]!r}", expected=sorted(self.data), got=sorted(unknown)
            )
        data = {**self.data, **new}
        if all(_has_form_of(value, self.data[name]) for name, value in new.items()):
            return replace(self, data=data)
        return _density(self.model, data)

    def compiled(self, engine: str = "auto") -> CompiledDensity:
        """Return this density on an engine, checked against eager at random points.

        Args:
            engine: "native" for machine code, "inductor" for torch.compile, "eager", or "auto".

        Raises:
            UsageError: no such engine.
            CaptureError: the engine was named, and the model cannot be recorded; the message names the line.
            CompilerError: the engine was named, and there is no compiler, or it fails.

        Example:
            >>> import pyroxene, pyroxene.distributions as dist
            >>> density = log_density(lambda: pyroxene.sample("x", dist.Normal(0.0, 1.0))).compiled("eager")
            >>> density.value_and_grad(torch.ones(1, dtype=torch.float64))[1].item()
            -1.0
        """
        return compile_density(self, engine)

    def capture(self) -> Graph:
        """Return the graph of value and gradient, to print (`graph.describe()`) and verify.

        Raises:
            CaptureError: the model cannot be recorded; the message names the line.
        """
        return gradient_graph(self, torch.zeros(self.dim, dtype=torch.float64))


def _call(model: Model, data: Mapping[str, Any]) -> Any:
    """Call a model with arguments by name; those of `*args` and `**kwargs` are kept under "*" and "**"."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    before_star = "*" in data  # names that stand before *args go by position
    for name, value in data.items():
        if name == "*":
            positional.extend(value)
            before_star = False
        elif name == "**":
            keywords.update(value)
        elif before_star:
            positional.append(value)
        else:
            keywords[name] = value
    return model(*positional, **keywords)


def _bind(model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name."""
    try:
        signature = inspect.signature(model)
    except (TypeError, ValueError):
        return {"*": args, "**": kwargs}
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    data: dict[str, Any] = {}
    positional_only = False
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        positional_only |= kind is inspect.Parameter.POSITIONAL_ONLY
        if kind is inspect.Parameter.VAR_POSITIONAL:
            data["*"] = value
        elif kind is inspect.Parameter.VAR_KEYWORD:
            data["**"] = value
        else:
            data[name] = value
    return {"*": args, "**": kwargs} if positional_only else data


def _has_form_of(value: Any, other: Any) -> bool:
    """Say whether data can stand for other data without a change to the model's sites."""
    if isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor):
        return value.shape == other.shape
    if isinstance(value, numpy.ndarray) and isinstance(other, numpy.ndarray):
        return value.shape == other.shape
    return type(value) is type(other) and isinstance(value, (float, complex))


def _structure(model: Model, data: Mapping[str, Any], strategy: Callable[[Any], Any]) -> Structure:
    return trace_structure(lambda: _call(model, data), wrap=InitMessenger(strategy))


def _first_structure(model: Model, data: Mapping[str, Any]) -> Structure:
    """Run a model at the first starting point at which the arguments of its distributions are legal."""
    first: ParameterError | None = None
    for strategy in (init_to_uniform, init_to_uniform(radius=0.5), init_to_median, init_to_feasible):
        try:
            return _structure(model, data, strategy)
        except ParameterError as error:
            first = first or error
    assert first is not None
    raise first


def log_density(model: Model, *args: Any, **kwargs: Any) -> LogDensity:
    """Make a model's log density, a pure function of one flat unconstrained vector.

    The model runs once, with all checks on.

    Args:
        model: the model, its data observed through `obs` or `condition`.
        args: the model's arguments.
        kwargs: the model's keyword arguments.

    Raises:
        PlateError: a plate subsamples.
        SupportError: a latent site is discrete, or its support has no bijection.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def model(y):
        ...     scale = pyroxene.sample("scale", dist.HalfNormal(1.0))
        ...     pyroxene.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> density = log_density(model, torch.tensor(0.5))
        >>> density.dim, round(density(torch.zeros(1)).item(), 4)
        (1, -1.7697)
    """
    return _density(model, _bind(model, args, kwargs))


def _density(model: Model, data: dict[str, Any]) -> LogDensity:
    with block_messengers(lambda handler: True):
        structure = _first_structure(model, data)
    structure.refuse_subsampling("a log density")
    structure.refuse_discrete("a log density")
    structure.trace.compute_log_prob()
    return LogDensity(model, data, Layout.of(structure.latent_sites.values()), structure)
