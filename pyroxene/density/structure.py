"""What one run of a model shows: its latent sites, observations and plates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyroxene._typing import Model
from pyroxene.errors import PlateError, SupportError
from pyroxene.poutine import block, trace
from pyroxene.poutine.message import CondIndepStackFrame
from pyroxene.poutine.runtime import share_subsamples
from pyroxene.poutine.trace_struct import Trace, site_is_subsample
from pyroxene.poutine.util import prune_subsample_sites

__all__ = ["Structure", "trace_structure"]


@dataclass(frozen=True)
class Structure:
    """The sites of a model, from one run; final.

    Attributes:
        trace: the run, without the plates' draws of indices.
        plates: every vectorised plate by name.
        subsampled: names of plates that draw a subsample.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> def model(y):
        ...     mean = pyroxene.sample("mean", dist.Normal(0.0, 1.0))
        ...     with pyroxene.plate("rows", len(y)):
        ...         pyroxene.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> structure = trace_structure(model, torch.zeros(3))
        >>> list(structure.latent_sites), list(structure.observed_sites), structure.plates["rows"].size
        (['mean'], ['y'], 3)
    """

    trace: Trace
    plates: dict[str, CondIndepStackFrame]
    subsampled: tuple[str, ...]

    @property
    def latent_sites(self) -> dict[str, dict[str, Any]]:
        """The latent sample sites by name, in the order of the run."""
        return dict(self.trace.iter_stochastic_nodes())

    @property
    def observed_sites(self) -> dict[str, dict[str, Any]]:
        """The observed sample sites by name, deterministic ones included."""
        return {name: self.trace.nodes[name] for name in self.trace.observation_nodes}

    def refuse_subsampling(self, purpose: str) -> None:
        """Raise where a plate draws a subsample, which would freeze its indices.

        Raises:
            PlateError: names the plate.
        """
        if self.subsampled:
            name = self.subsampled[0]
            raise PlateError(
                f"plate '{name}' subsamples, and {purpose} needs all the data",
                plate=name,
                expected="subsample_size=None",
                got="a random subsample",
                hint="run on all the data, or use SVI",
            )

    def refuse_discrete(self, purpose: str) -> None:
        """Raise where a latent site is discrete.

        Raises:
            SupportError: names the site.
        """
        for name, site in self.latent_sites.items():
            if getattr(site["fn"].support, "is_discrete", False):
                raise SupportError(
                    f"latent site '{name}' is discrete, and {purpose} needs continuous sites",
                    site=name,
                    source=site.get("source"),
                    expected="a continuous distribution",
                    got=site["fn"],
                    hint="sum it out by hand, or use SVI with a custom guide",
                )


def trace_structure(model: Model, *args: Any, wrap: Callable[[Model], Model] | None = None, **kwargs: Any) -> Structure:
    """Run a model once and return its structure.

    Args:
        model: the model.
        args: its arguments.
        wrap: a handler to put around the model, such as an `InitMessenger`.
        kwargs: its keyword arguments.
    """
    run = model if wrap is None else wrap(model)
    with share_subsamples(isolated=True):
        full = block(trace(run).get_trace)(*args, **kwargs)
    plates: dict[str, CondIndepStackFrame] = {}
    for site in full.nodes.values():
        if site["type"] == "sample":
            for frame in site["cond_indep_stack"]:
                if frame.vectorized:
                    plates.setdefault(frame.name, frame)
    subsampled = tuple(
        name
        for name, site in full.nodes.items()
        if site_is_subsample(site) and site["fn"].subsample_size is not None and len(site["value"]) < site["fn"].size
    )
    return Structure(prune_subsample_sites(full), plates, subsampled)
