"""A trace: the record of one run, its sites in order, and their log densities."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from typing import Any

import torch

from pyroxene.distributions.score_parts import ScoreParts
from pyroxene.distributions.util import scale_and_mask
from pyroxene.errors import (
    DuplicateSiteError,
    PyroxeneError,
    ShapeError,
    SupportError,
    UsageError,
    describe,
)
from pyroxene.ops import packed
from pyroxene.poutine.shapes import format_shapes

__all__ = ["Trace", "site_is_subsample"]

Site = dict[str, Any]


def site_is_subsample(site: Any) -> bool:
    """Say whether a site is a plate's draw of its indices."""
    return site["type"] == "sample" and getattr(type(site["fn"]), "is_subsample", False)


def _sum(log_prob: Any) -> Any:
    """Sum a log density over its batch; a scalar is its own sum, and costs no operation."""
    return log_prob.sum() if log_prob.dim() else log_prob


def _is_latent(site: Site) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


class Trace:
    """The sites of one run of a program, as a dictionary in order of execution, and as a graph.

    Args:
        graph_type: "flat", or "dense" for a graph with an edge from each sample site to every later one that may
            depend on it (`edges`, `successors`, `topological_sort`).

    `nodes[name]` is the site's message (see poutine/message.py); "_INPUT" and "_RETURN" hold arguments and result.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> def model():
        ...     x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(1.0))
        >>> trace = pyroxene.poutine.trace(pyroxene.condition(model, data={"x": torch.tensor(0.0)})).get_trace()
        >>> list(trace.nodes), round(trace.log_prob_sum().item(), 4)
        (['_INPUT', 'x', 'y', '_RETURN'], -2.3379)
    """

    def __init__(self, graph_type: str = "flat") -> None:
        if graph_type not in ("flat", "dense"):
            raise UsageError("unknown graph_type", expected="'flat' or 'dense'", got=graph_type, hint="leave it out")
        self.graph_type = graph_type
        self.nodes: OrderedDict[str, Site] = OrderedDict()
        self._succ: dict[str, set[str]] = {}
        self._pred: dict[str, set[str]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    # the graph -------------------------------------------------------------------------------------------------------

    @property
    def edges(self) -> Iterator[tuple[str, str]]:
        """All edges as (earlier site, later site)."""
        for site, later in self._succ.items():
            for other in later:
                yield site, other

    def add_node(self, site_name: str, **kwargs: Any) -> None:
        """Record a site.

        Raises:
            DuplicateSiteError: the name is taken, and not by the same parameter.
        """
        self._record(site_name, kwargs)

    def _record(self, site_name: str, site: Site) -> None:
        first = self.nodes.get(site_name)
        if first and not site["type"] == first["type"] == "param":
            kind = site["type"]
            what = f"Multiple {kind} sites named '{site_name}'"
            if first["type"] != kind:
                what = f"'{site_name}' is a {first['type']} site and now a {kind} site"
            raise DuplicateSiteError(
                what,
                site=site_name,
                source=site.get("source"),
                expected="one site for each name in a run",
                got=f"'{site_name}' again" + _place(first, ", first at {0}:{1}"),
                hint="give each statement its own name; inside a loop f'name_{i}', or a plate",
            )
        self.nodes[site_name] = site

    def add_edge(self, site1: str, site2: str) -> None:
        """Record that `site2` may depend on `site1`."""
        for site in (site1, site2):
            self.nodes.setdefault(site, {})
        self._succ.setdefault(site1, set()).add(site2)
        self._pred.setdefault(site2, set()).add(site1)

    def remove_node(self, site_name: str) -> None:
        """Forget a site and its edges."""
        self.nodes.pop(site_name)
        for other in self._pred.pop(site_name, ()):
            self._succ[other].discard(site_name)
        for other in self._succ.pop(site_name, ()):
            self._pred[other].discard(site_name)

    def predecessors(self, site_name: str) -> set[str]:
        """Return the sites that a site may depend on directly."""
        return self._pred.get(site_name, set())

    def successors(self, site_name: str) -> set[str]:
        """Return the sites that may depend on a site directly."""
        return self._succ.get(site_name, set())

    def topological_sort(self, reverse: bool = False) -> list[str]:
        """Return the sites, each after those it depends on; `reverse` turns the order round."""
        sorter = TopologicalSorter(dict.fromkeys(self.nodes, ()))
        for name, earlier in self._pred.items():
            sorter.add(name, *sorted(earlier))
        order = list(sorter.static_order())
        return order[::-1] if reverse else order

    def copy(self) -> Trace:
        """Return a trace with the same sites; the site dicts are copied, the tensors are not."""
        new = Trace(self.graph_type)
        new.nodes = OrderedDict((name, dict(site)) for name, site in self.nodes.items())
        new._succ = {name: set(others) for name, others in self._succ.items()}
        new._pred = {name: set(others) for name, others in self._pred.items()}
        return new

    # which sites -----------------------------------------------------------------------------------------------------

    def _names(self, wanted: Callable[[Site], bool]) -> list[str]:
        return [name for name, site in self.nodes.items() if wanted(site)]

    @property
    def observation_nodes(self) -> list[str]:
        """Names of observed sample sites."""
        return self._names(lambda site: site["type"] == "sample" and site["is_observed"])

    @property
    def param_nodes(self) -> list[str]:
        """Names of param sites."""
        return self._names(lambda site: site["type"] == "param")

    @property
    def stochastic_nodes(self) -> list[str]:
        """Names of latent sample sites, plates' draws of indices among them."""
        return self._names(_is_latent)

    @property
    def reparameterized_nodes(self) -> list[str]:
        """Names of latent sites whose values carry gradients."""
        return self._names(lambda site: _is_latent(site) and getattr(site["fn"], "has_rsample", False))

    @property
    def nonreparam_stochastic_nodes(self) -> list[str]:
        """Names of latent sites whose gradients need a score function."""
        return self._names(lambda site: _is_latent(site) and not getattr(site["fn"], "has_rsample", False))

    def iter_stochastic_nodes(self) -> Iterator[tuple[str, Site]]:
        """Yield (name, site) of latent sample sites; plates' draws of indices excepted."""
        for name, site in self.nodes.items():
            if _is_latent(site) and not site_is_subsample(site):
                yield name, site

    # densities -------------------------------------------------------------------------------------------------------

    def log_prob_sum(self, site_filter: Callable[[str, Site], bool] = lambda name, site: True) -> Any:
        """Return the log density of the run: the sum over sample sites, scaled and masked.

        Args:
            site_filter: of (name, site); which sites to count.

        Returns:
            a scalar tensor, or 0.0 where no site counts; may be -inf.
        """
        total: Any = 0.0
        for name, site in self.nodes.items():
            if site["type"] == "sample" and site_filter(name, site):
                if "log_prob_sum" not in site:
                    self._score(name, site)
                total = total + site["log_prob_sum"]
        return total

    def compute_log_prob(self, site_filter: Callable[[str, Site], bool] = lambda name, site: True) -> None:
        """Compute each sample site's log density and keep it in the site.

        Sets `unscaled_log_prob` and `log_prob` (the site's batch shape) and `log_prob_sum` (scalar).

        Raises:
            SupportError, ShapeError: a value lies outside the support, or does not fit the distribution's shape.
        """
        for name, site in self.nodes.items():
            if site["type"] == "sample" and "log_prob" not in site and site_filter(name, site):
                self._score(name, site)

    def _score(self, name: str, site: Site) -> None:
        try:
            log_prob = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
        except ValueError as error:
            raise self._density_error(name, site, error) from error
        site["unscaled_log_prob"] = log_prob
        site["log_prob"] = log_prob = scale_and_mask(log_prob, site["scale"], site["mask"])
        site["log_prob_sum"] = _sum(log_prob)

    def compute_score_parts(self) -> None:
        """Compute what each latent site adds to a gradient estimator; implies `compute_log_prob` for them.

        Sets `score_parts` (`ScoreParts`: log_prob, score_function, entropy_term) on every sample site.
        """
        for name, site in self.nodes.items():
            if site["type"] == "sample" and "score_parts" not in site:
                try:
                    parts: ScoreParts = site["fn"].score_parts(site["value"], *site["args"], **site["kwargs"])
                except ValueError as error:
                    raise self._density_error(name, site, error) from error
                site["unscaled_log_prob"] = parts.log_prob
                site["score_parts"] = parts = parts.scale_and_mask(site["scale"], site["mask"])
                site["log_prob"] = parts.log_prob
                site["log_prob_sum"] = _sum(parts.log_prob)

    def _density_error(self, name: str, site: Site, error: ValueError) -> PyroxeneError:
        """Say which site's density failed, and whether its shape or its value is to blame."""
        value, fn = site["value"], site["fn"]
        shape = fn.shape() if hasattr(fn, "shape") else None
        common: dict[str, Any] = {
            "site": name,
            "plate": site["cond_indep_stack"][-1].name if site["cond_indep_stack"] else None,
            "source": site.get("source"),
        }
        what = f"Error while computing log_prob at site '{name}': {error}"
        if not isinstance(value, torch.Tensor):
            common |= {"expected": "a torch.Tensor", "got": f"{type(value).__name__} {value!r}"}
            made: PyroxeneError = SupportError(what, hint=f"obs=torch.as_tensor({name})", **common)
        elif shape is not None and not _broadcasts(value.shape, shape):
            common |= {"expected": f"a value that broadcasts with {tuple(shape)}", "got": describe(value)}
            made = ShapeError(what, hint="transpose or unsqueeze the data, or correct plates and to_event()", **common)
        else:
            support = getattr(fn, "support", None)
            if isinstance(value, torch.Tensor) and value.is_floating_point() and bool(value.isnan().any()):
                hint = "remove or impute missing values, or mask them with poutine.mask"
            else:
                hint = "check the data's coding and units, or choose a distribution with a wider support"
            made = SupportError(what, expected=f"a value in {support}", got=describe(value), hint=hint, **common)
        made.args = (f"{made}\n{self.format_shapes(last_site=name)}",)
        return made

    def detach_(self) -> None:
        """Detach every sample site's value, in place."""
        for site in self.nodes.values():
            if site["type"] == "sample":
                site["value"] = site["value"].detach()

    # symbols for contraction -----------------------------------------------------------------------------------------

    def symbolize_dims(self, plate_to_symbol: dict[str, str] | None = None) -> None:
        """Give each plate, and each enumerated site, a symbol of its own for use in einsum.

        Args:
            plate_to_symbol: symbols that plates already have, in another trace.
        """
        self.plate_to_symbol = dict(plate_to_symbol or {})
        self.symbol_to_dim: dict[str, int] = {}
        for site in self.nodes.values():
            if site["type"] != "sample":
                continue
            infer = site["infer"]
            names = infer["_dim_to_symbol"] = {}
            for frame in site["cond_indep_stack"]:
                if frame.vectorized:  # plates bear the symbols of even number, in order of appearance
                    even = packed.symbol(2 * len(self.plate_to_symbol))
                    names[frame.dim] = self.plate_to_symbol.setdefault(frame.name, even)
            for dim, identity in infer.get("_dim_to_id", {}).items():
                names[dim] = packed.symbol(2 * identity + 1)
            if "_enumerate_dim" in infer:
                infer["_enumerate_symbol"] = names[infer["_enumerate_dim"]]
            self.symbol_to_dim.update((name, dim) for dim, name in names.items())

    def pack_tensors(self, plate_to_symbol: dict[str, str] | None = None) -> None:
        """Pack each site's log densities, scale and mask into `site["packed"]`, dimensions named by symbols.

        Args:
            plate_to_symbol: symbols that plates already have, in another trace.
        """
        self.symbolize_dims(plate_to_symbol)
        for name, site in self.nodes.items():
            if site["type"] != "sample":
                continue
            names = site["infer"]["_dim_to_symbol"]
            out = site.setdefault("packed", {})
            try:
                out["mask"] = packed.pack(site["mask"], names)
                if "score_parts" in site:
                    log_prob, score_function, entropy_term = site["score_parts"]
                    out["score_parts"] = ScoreParts(
                        packed.pack(log_prob, names),
                        packed.pack(score_function, names),
                        packed.pack(entropy_term, names),
                    )
                    out["log_prob"] = out["score_parts"].log_prob
                    out["unscaled_log_prob"] = packed.pack(site["unscaled_log_prob"], names)
                elif "log_prob" in site:
                    out["log_prob"] = packed.pack(site["log_prob"], names)
                    out["unscaled_log_prob"] = packed.pack(site["unscaled_log_prob"], names)
            except ValueError as error:
                raise ShapeError(
                    f"Error while packing tensors at site '{name}': {error}",
                    site=name,
                    source=site.get("source"),
                    expected="batch dimensions of plates, and of enumerated sites that this one may depend on",
                    got=f"log_prob of shape {tuple(getattr(site.get('log_prob'), 'shape', ()))}",
                    hint="declare each other dimension by a plate or .to_event(); depend on no site of an ended markov",
                ) from error

    def format_shapes(self, title: str = "Trace Shapes:", last_site: str | None = None) -> str:
        """Return a table of the shapes of all sites, batch and event dimensions divided by a bar.

        Args:
            title: the first line.
            last_site: the site after which the table ends; all sites where it is None.
        """
        return format_shapes(self.nodes, title, last_site)


def _place(site: Site, template: str) -> str:
    source = site.get("source")
    return template.format(*source) if source else ""


def _broadcasts(one: Any, other: Any) -> bool:
    return all(a == b or a == 1 or b == 1 for a, b in zip(reversed(one), reversed(other)))
