"""Draws from a model's predictive distribution: posterior draws in, draws of everything else out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pyroxene._typing import Model, TensorDict
from pyroxene.errors import MissingSiteError, UsageError
from pyroxene.poutine import block, condition, mask, trace
from pyroxene.poutine.trace_struct import Trace
from pyroxene.poutine.util import prune_subsample_sites
from pyroxene.primitives import plate

__all__ = ["Predictive"]

Shapes = dict[str, torch.Size | None]


def _max_plate_nesting(run: Trace) -> int:
    """Return how many batch dimensions the plates of a run take."""
    dims = [
        frame.dim
        for site in run.nodes.values()
        if site["type"] == "sample"
        for frame in site["cond_indep_stack"]
        if frame.vectorized
    ]
    return -min(dims) if dims else 0


class _Plan:
    """What to collect from runs of one model, found by one run of it; final."""

    def __init__(
        self,
        model: Model,
        given: Mapping[str, torch.Tensor],
        return_sites: Sequence[str] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.model = torch.no_grad()(mask(model, mask=False))
        self.args, self.kwargs = args, kwargs
        with block():
            self.nesting = _max_plate_nesting(trace(self.model).get_trace(*args, **kwargs))
            whole = trace(self.model).get_trace(*args, **kwargs)
        run = prune_subsample_sites(whole)
        self.shapes: Shapes = {}  # of one draw, without the leading sample dimension
        for name in run.stochastic_nodes + run.observation_nodes:
            if _is_wanted(name, given, return_sites):
                site = run.nodes[name]
                missing = self.nesting - len(getattr(site["fn"], "batch_shape", ()))
                self.shapes[name] = torch.Size((1,) * missing) + site["value"].shape
        if return_sites and "_RETURN" in return_sites:
            value = run.nodes["_RETURN"]["value"]
            self.shapes["_RETURN"] = value.shape if isinstance(value, torch.Tensor) else None
        unknown = [name for name in return_sites or () if name not in whole.nodes and name not in given]
        if unknown:
            raise UsageError(
                f"return_sites names sites that the model does not have: {unknown}",
                expected=[*run.stochastic_nodes, *run.observation_nodes, "_RETURN"],
                got=list(return_sites or ()),
                hint="correct the name",
            )

    def align(self, given: Mapping[str, torch.Tensor], num_samples: int) -> TensorDict:
        """Put the sample dimension of given draws left of the plates' dimensions."""
        aligned = {}
        for name, value in given.items():
            shape = value.shape[1:]
            aligned[name] = value.reshape((num_samples,) + (1,) * (self.nesting - len(shape)) + shape)
        return aligned

    def one_by_one(self, given: Mapping[str, torch.Tensor], num_samples: int) -> dict[str, Any]:
        """Run the model once for each draw."""
        collected: dict[str, list[Any]] = {name: [] for name in self.shapes}
        for i in range(num_samples):
            run = trace(condition(self.model, data={k: v[i] for k, v in given.items()})).get_trace(
                *self.args, **self.kwargs
            )
            for name in collected:
                collected[name].append(_node(run, name)["value"])
        result: dict[str, Any] = {}
        for name, values in collected.items():
            shape = self.shapes[name]
            result[name] = values if shape is None else torch.stack(values).reshape((num_samples, *shape))
        return result

    def vectorised(self, given: Mapping[str, torch.Tensor], num_samples: int) -> Trace:
        """Run the model once, with all draws as a batch dimension left of its plates."""
        outer = plate("_num_predictive_samples", num_samples, dim=-self.nesting - 1)
        run = trace(condition(outer(self.model), data=self.align(given, num_samples)))
        found: Trace = run.get_trace(*self.args, **self.kwargs)
        return found

    def all_at_once(self, given: Mapping[str, torch.Tensor], num_samples: int) -> dict[str, Any]:
        """Collect the sites of one vectorised run."""
        run = self.vectorised(given, num_samples)
        result: dict[str, Any] = {}
        for name, shape in self.shapes.items():
            value = _node(run, name)["value"]
            if shape is None or not isinstance(value, torch.Tensor):
                result[name] = value
                continue
            full = (num_samples, *shape)
            result[name] = value.expand(full) if value.numel() < math.prod(full) else value.reshape(full)
        return result


def _node(run: Trace, name: str) -> Mapping[str, Any]:
    node: Mapping[str, Any] | None = run.nodes.get(name)
    if node is None:
        raise MissingSiteError(
            f"site '{name}' stands in one run of the model and not in another",
            site=name,
            expected="the same sites in each run",
            got=[site for site in run.nodes if site not in ("_INPUT", "_RETURN")],
            hint="name the sites that are always there: return_sites=[...]",
        )
    return node


def _is_wanted(name: str, given: Mapping[str, torch.Tensor], return_sites: Sequence[str] | None) -> bool:
    if return_sites is None:  # everything
        return True
    return name in return_sites if return_sites else name not in given


def _number_of_draws(given: Mapping[str, torch.Tensor], num_samples: int | None) -> int:
    """Return how many draws to make: as many as are given, or else what was asked for."""
    counts = {name: len(value) for name, value in given.items()}
    if len(set(counts.values())) > 1:
        raise UsageError(
            "Sample size from site to site differs.",
            expected="one number of draws",
            got=counts,
            hint="cut them to the same length, and put the draws along the first dimension",
        )
    count = next(iter(counts.values()), num_samples)
    if count is None:
        raise UsageError(
            "No sample sites in posterior samples to infer num_samples.",
            expected="num_samples",
            got=None,
            hint="num_samples=1000",
        )
    if count < 1:
        raise UsageError("there are no draws to make", expected="at least one draw", got=count, hint="num_samples=1000")
    if num_samples is not None and num_samples != count:
        warnings.warn(
            f"Predictive makes one draw for each of the {count} posterior_samples, not num_samples={num_samples}",
            UserWarning,
            stacklevel=3,
        )
    return count


class Predictive(torch.nn.Module):
    """Draws from the prior or posterior predictive distribution; final.

    Call it with the model's arguments, the observation left out (`obs=None`), to get draws by site name.

    Args:
        model: the model.
        posterior_samples: draws of latent sites by name, shape (num_samples, *site shape); None or empty draws from the
            prior.
        guide: a trained guide to draw latent sites from, instead of `posterior_samples`.
        num_samples: how many draws; needed where there are no posterior_samples.
        return_sites: names of the sites to return, "_RETURN" for the model's result; by default the sample sites that
            are not in `posterior_samples`; None for all sample sites.
        parallel: whether all draws are one run of the model, with a batch dimension left of its plates; the model
            must then broadcast.
        batch_size: with `parallel`, how many draws one run takes, to bound memory; all where it is None.

    Returns:
        of a call: draws by site name, shape (num_samples, *site shape), with singleton dimensions for plates that a
        site does not stand in.

    Raises:
        UsageError: (a ValueError) neither draws nor num_samples, draws of different numbers, or a name in
            `return_sites` that the model does not have.
        MissingSiteError: (a KeyError) a site stands in one run of the model and not in the next.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def model(y=None):
        ...     mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        ...     return pyroxene.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> draws = Predictive(model, {"mu": torch.zeros(5)})()
        >>> {name: tuple(value.shape) for name, value in draws.items()}
        {'y': (5,)}
    """

    def __init__(
        self,
        model: Model,
        posterior_samples: Mapping[str, torch.Tensor] | None = None,
        guide: Model | None = None,
        num_samples: int | None = None,
        return_sites: Sequence[str] | None = (),
        parallel: bool = False,
        *,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        given = {} if posterior_samples is None else dict(posterior_samples)
        if posterior_samples is None and num_samples is None:
            raise UsageError(
                "Either posterior_samples or num_samples must be specified.",
                expected="posterior_samples={...}, or num_samples",
                got="neither",
                hint="num_samples=1000 draws from the prior; with guide=guide too, from the posterior",
            )
        if guide is not None and given:
            raise UsageError(
                "posterior_samples cannot be provided with the guide argument.",
                expected="one of them",
                got="both",
                hint="leave posterior_samples out: the guide draws them",
            )
        if return_sites is not None and not isinstance(return_sites, (list, tuple, set)):
            raise UsageError(
                "return_sites is a sequence of names",
                expected="a list or tuple",
                got=return_sites,
                hint=f"return_sites=[{return_sites!r}]",
            )
        if batch_size is not None and batch_size < 1:
            raise UsageError(
                "batch_size is a number of draws", expected="batch_size >= 1", got=batch_size, hint="batch_size=100"
            )
        self.model = model
        self.posterior_samples: TensorDict = given
        self.num_samples = _number_of_draws(given, num_samples)
        self.guide = guide
        self.return_sites = None if return_sites is None else tuple(return_sites)
        self.parallel = parallel
        self.batch_size = batch_size

    def _draws(self, model: Model, given: TensorDict, return_sites: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        plan = _Plan(model, given, return_sites, args, kwargs)
        if not self.parallel:
            return plan.one_by_one(given, self.num_samples)
        size = self.num_samples if self.batch_size is None else self.batch_size
        parts = [
            plan.all_at_once(
                {k: v[start : start + size] for k, v in given.items()}, min(size, self.num_samples - start)
            )
            for start in range(0, self.num_samples, size)
        ]
        return {name: _join([part[name] for part in parts]) for name in parts[0]}

    def _latent_draws(self, args: Any, kwargs: Any) -> TensorDict:
        if self.guide is None:
            return self.posterior_samples
        return self._draws(self.guide, {}, None, args, kwargs)

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return the draws as a tuple, in the order of the sites' names."""
        result = self.forward(*args, **kwargs)
        return tuple(value for _, value in sorted(result.items()))

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return draws by site name, shape (num_samples, *site shape).

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.
        """
        given = self._latent_draws(args, kwargs)
        # With a guide nothing was given by the caller, so the guide's draws are part of the answer.
        wanted = None if self.guide is not None and not self.return_sites else self.return_sites
        return self._draws(self.model, given, wanted, args, kwargs)

    def get_samples(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return draws by site name; the old name of calling the object."""
        return self.forward(*args, **kwargs)

    def get_vectorized_trace(self, *args: Any, **kwargs: Any) -> Trace:
        """Return the trace of one run with all draws as a batch dimension left of the plates."""
        given = self._latent_draws(args, kwargs)
        plan = _Plan(self.model, given, (), args, kwargs)
        return plan.vectorised(given, self.num_samples)


def _join(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else parts
