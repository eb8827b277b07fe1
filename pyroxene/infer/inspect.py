"""Which site of a model depends on which: `get_dependencies`, `get_model_relations` and the picture, `render_model`.

The model runs once with tensors that remember which sites and params they were computed from (ops/provenance.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch

from pyroxene import poutine
from pyroxene._typing import Model
from pyroxene.distributions import Delta, ExpandedDistribution, Independent, MaskedDistribution
from pyroxene.errors import UsageError
from pyroxene.infer.render import (
    _deep_merge,
    generate_graph_specification,
    render_graph,
    separate_plates,
    write_graph,
)
from pyroxene.ops.provenance import detach_provenance, get_provenance, track_provenance
from pyroxene.params import user_param_name
from pyroxene.poutine.message import CondIndepStackFrame, Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.trace_struct import Trace, site_is_subsample
from pyroxene.primitives import validation_enabled

__all__ = [
    "TrackProvenance",
    "generate_graph_specification",
    "get_dependencies",
    "get_model_relations",
    "is_sample_site",
    "render_graph",
    "render_model",
    "site_is_deterministic",
]

Relations = dict[str, Any]


def site_is_deterministic(msg: Any) -> bool:
    """Say whether a site is a `deterministic` statement."""
    return msg["type"] == "sample" and bool(msg["infer"].get("_deterministic", False))


def is_sample_site(msg: Any, *, include_deterministic: bool = False) -> bool:
    """Say whether a site stands for a random variable of its own.

    Args:
        msg: a site.
        include_deterministic: also count sites whose value follows from others: `deterministic` statements, deltas, and
            observations that a handler masks out.
    """
    if msg["type"] != "sample" or site_is_subsample(msg):
        return False
    if include_deterministic:
        return True
    if msg["is_observed"] and msg["mask"] is False:
        return False
    fn = msg["fn"]
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return not isinstance(fn, Delta)


class TrackProvenance(Messenger):
    """Marks the value of each site and param with its name; final.

    Args:
        include_deterministic: also mark the values of deterministic sites, which hides what lies behind them.

    `upstream[site]` is the provenance that a site's value had before it was marked.
    """

    def __init__(self, *, include_deterministic: bool = False) -> None:
        super().__init__()
        self.include_deterministic = include_deterministic
        self.upstream: dict[str, frozenset[str]] = {}

    def _mark(self, msg: Message) -> None:
        msg["value"] = track_provenance(detach_provenance(msg["value"]), frozenset({msg["name"]}))

    def _pyro_post_sample(self, msg: Message) -> None:
        self.upstream[msg["name"]] = get_provenance(msg["value"])
        if is_sample_site(msg, include_deterministic=self.include_deterministic):
            self._mark(msg)

    def _pyro_post_param(self, msg: Message) -> None:
        if user_param_name(msg["name"]) == msg["name"]:  # a registered module goes on computing with its own tensors
            self._mark(msg)


def _dependencies(
    model: Model, args: tuple[Any, ...], kwargs: dict[str, Any], include_deterministic: bool
) -> tuple[Trace, dict[str, frozenset[str]]]:
    """Run a model and return its trace, and for each sample site the sites and params that its density depends on.

    Torch's random state, the gradient mode and the validation switches are as before when it returns; params that the
    model makes stay in the store.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    tracker = TrackProvenance(include_deterministic=include_deterministic)
    upstream = {}
    with torch.random.fork_rng(devices=devices), torch.no_grad(), validation_enabled(False):
        with tracker:
            trace = poutine.trace(model).get_trace(*args, **kwargs)
        for name, site in trace.nodes.items():
            if site["type"] == "sample" and not site_is_subsample(site):
                fn = site["fn"]
                if site_is_deterministic(site) or not hasattr(fn, "log_prob"):
                    upstream[name] = tracker.upstream[name]  # no density: what the value was computed from
                else:
                    upstream[name] = get_provenance(fn.log_prob(site["value"], *site["args"], **site["kwargs"]))
    return trace, upstream


def get_dependencies(
    model: Model,
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
    include_deterministic: bool = False,
) -> dict[str, Any]:
    """Return which random variables depend on which, before and after conditioning on the data.

    Every site depends on itself. A pair of sites comes with a set of plates: for two sites that stand in one plate, it
    is empty where each element of one depends only on the same element of the other, and names the plate where its
    elements depend on each other, as when data outside the plate observe a sum over it.

    Args:
        model: a model; it runs once.
        model_args: its arguments.
        model_kwargs: its keyword arguments.
        include_deterministic: track deterministic sites as variables, so that a dependency that passes through one
            stops there.

    Returns:
        `{"prior_dependencies": {downstream: {upstream: plates}}, "posterior_dependencies": {upstream: {downstream:
        plates}}}`. The prior graph holds every sample site. In the posterior graph each latent site comes with the
        later sites that share a factor of the joint density with it.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def model():
        ...     a = pyroxene.sample("a", dist.Normal(0.0, 1.0))
        ...     b = pyroxene.sample("b", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("c", dist.Normal(a, b.exp()), obs=torch.tensor(0.0))
        >>> dependencies = get_dependencies(model)
        >>> dependencies["prior_dependencies"]["c"]
        {'c': set(), 'a': set(), 'b': set()}
        >>> dependencies["posterior_dependencies"]["a"]
        {'a': set(), 'c': set(), 'b': set()}
    """
    trace, upstream = _dependencies(model, model_args or (), model_kwargs or {}, include_deterministic)
    sites = {name: trace.nodes[name] for name in upstream if is_sample_site(trace.nodes[name])}
    plates = {name: {frame for frame in site["cond_indep_stack"] if frame.vectorized} for name, site in sites.items()}
    latent = [name for name, site in sites.items() if not site["is_observed"]]

    def spread(one: str, other: str, factor: str) -> set[str]:
        """Name the plates that two variables share and the factor that joins them does not."""
        return {frame.name for frame in (plates[one] & plates[other]) - plates[factor]}

    prior: dict[str, dict[str, set[str]]] = {}
    posterior: dict[str, dict[str, set[str]]] = {name: {name: set()} for name in latent}
    for down in sites:
        ups = [name for name in latent if name in upstream[down] and name != down]
        prior[down] = {name: spread(name, down, down) for name in (down, *ups)}
        for position, one in enumerate(ups):
            for other in (one, down, *ups[position + 1 :]):
                posterior[one].setdefault(other, set()).update(spread(one, other, down))
    return {"prior_dependencies": prior, "posterior_dependencies": posterior}


def _get_dist_name(fn: Any) -> str:
    """Return the name of a distribution's class, inside masks, expansions and `to_event`; of a function, its name."""
    while isinstance(fn, (MaskedDistribution, ExpandedDistribution, Independent)):
        fn = fn.base_dist
    return fn.__name__ if inspect.isroutine(fn) else type(fn).__name__


def _frames(trace: Trace) -> Iterator[tuple[str, CondIndepStackFrame]]:
    """Yield (site, plate) of the sample sites of a trace, the outermost plate of a site first."""
    for name, site in trace.nodes.items():
        if site["type"] == "sample" and not site_is_subsample(site):
            for frame in site["cond_indep_stack"]:
                yield name, frame


def _relations(trace: Trace, upstream: dict[str, frozenset[str]]) -> Relations:
    def among(names: list[str]) -> dict[str, list[str]]:
        return {down: [up for up in names if up != down and up in ups] for down, ups in upstream.items()}

    params = trace.param_nodes
    plates: dict[str, dict[str, None]] = {}
    for name, frame in _frames(trace):
        plates.setdefault(frame.name, {})[name] = None
    return {
        "sample_sample": among(list(upstream)),
        "sample_param": among(params),
        "sample_dist": {
            name: "Deterministic"
            if site_is_deterministic(trace.nodes[name])
            else _get_dist_name(trace.nodes[name]["fn"])
            for name in upstream
        },
        "param_constraint": {name: str(trace.nodes[name]["kwargs"]["constraint"]) for name in params},
        "plate_sample": separate_plates({name: list(sites) for name, sites in plates.items()}),
        "observed": [name for name in upstream if trace.nodes[name]["is_observed"]],
    }


def get_model_relations(
    model: Model,
    model_args: tuple[Any, ...] | None = None,
    model_kwargs: dict[str, Any] | None = None,
    include_deterministic: bool = False,
) -> Relations:
    """Return how the sites, params and plates of a model relate.

    Args:
        model: a model; it runs once.
        model_args: its arguments.
        model_kwargs: its keyword arguments.
        include_deterministic: let a dependency that passes through a deterministic site stop there.

    Returns:
        a dict with the keys

        - `sample_sample`: sample site -> the sample sites that its density depends on directly;
        - `sample_param`: sample site -> the params that its density depends on directly;
        - `sample_dist`: sample site -> the name of its distribution, "Deterministic" for `deterministic` statements;
        - `param_constraint`: param -> its constraint, as text;
        - `plate_sample`: plate -> its sample sites. Of two plates that overlap and do not nest, the later is split:
          what lies outside the earlier goes to a copy with "__CLONE" behind its name;
        - `observed`: the observed sample sites.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def model(data):
        ...     m = pyroxene.sample("m", dist.Normal(0.0, 1.0))
        ...     with pyroxene.plate("N", len(data)):
        ...         pyroxene.sample("x", dist.Normal(m, 1.0), obs=data)
        >>> relations = get_model_relations(model, (torch.zeros(3),))
        >>> relations["sample_sample"], relations["plate_sample"], relations["observed"]
        ({'m': [], 'x': ['m']}, {'N': ['x']}, ['x'])
    """
    return _relations(*_dependencies(model, model_args or (), model_kwargs or {}, include_deterministic))


def _plate_sizes(traces: list[Trace]) -> dict[str, str]:
    """Say how large each plate is, in words: "3", "4 of 10" where it subsamples, "2, 3" where runs differ."""
    sizes: dict[str, dict[str, None]] = {}
    for trace in traces:
        for _, frame in _frames(trace):
            size, full = int(frame.size or -1), int(frame.full_size or frame.size or -1)
            if size > 0:  # otherwise the plate's size is not known
                sizes.setdefault(frame.name, {})[str(size) if full == size else f"{size} of {full}"] = None
    return {name: ", ".join(words) for name, words in sizes.items()}


def _runs(model_args: Any, model_kwargs: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Pair lists of arguments with lists of keyword arguments; one that is no list serves for all."""
    if not isinstance(model_args, list) and not isinstance(model_kwargs, list):
        return [(model_args or (), model_kwargs or {})]
    count = len(model_args if isinstance(model_args, list) else model_kwargs)
    all_args = model_args if isinstance(model_args, list) else [model_args] * count
    all_kwargs = model_kwargs if isinstance(model_kwargs, list) else [model_kwargs] * count
    fits = (
        count and len(all_args) == len(all_kwargs) and all(isinstance(args, (tuple, type(None))) for args in all_args)
    )
    if not fits:
        raise UsageError(
            "render_model takes a list of argument tuples, a list of dicts, or both of the same length",
            expected="one tuple of arguments, or a list with one tuple for each run",
            got=f"{len(all_args)} args and {len(all_kwargs)} kwargs: {all_args!r}",
            hint="model_args=(x, y) for one run, [(x, y), (x, None)] for two",
        )
    return [(args or (), kwargs or {}) for args, kwargs in zip(all_args, all_kwargs)]


def render_model(
    model: Model,
    model_args: tuple[Any, ...] | list[tuple[Any, ...]] | None = None,
    model_kwargs: dict[str, Any] | list[dict[str, Any]] | None = None,
    filename: Any = None,
    render_distributions: bool = False,
    render_params: bool = False,
    render_deterministic: bool = False,
) -> Any:
    """Draw a model or guide in plate notation.

    Needs the Python package graphviz. The program `dot` is needed only to write anything but `.gv` and `.dot`.

    Args:
        model: a model; it runs once for each of its arguments. Params that it makes stay in the parameter store.
        model_args: its arguments; or a list of them, as for semisupervised models: then a site that is observed in some
            runs only is half grey, and the drawing shows the sites, edges and plates of all runs.
        model_kwargs: its keyword arguments, or a list of them.
        filename: where to write the picture: ".pdf", ".png", ".svg" or another format of dot; ".gv" and ".dot" hold the
            graph as text. None writes nothing.
        render_distributions: add a note with the distribution of each site and the constraint of each param.
        render_params: draw the params that sites depend on.
        render_deterministic: let edges pass through the nodes of deterministic sites, rather than around them.

    Returns:
        a `graphviz.Digraph`, which notebooks show as a picture; `.source` is its text.

    Raises:
        MissingPackageError: the package graphviz, or the program dot, is not there. In the latter case the graph's text
            has been written beside the picture's place.
        UsageError: the extension of `filename` is unknown, or lists of arguments do not fit each other.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def model(x, y=None):
        ...     slope = pyroxene.sample("slope", dist.Normal(0.0, 1.0))
        ...     with pyroxene.plate("rows", len(x)):
        ...         pyroxene.sample("y", dist.Normal(slope * x, 1.0), obs=y)
        >>> graph = render_model(model, (torch.ones(3), torch.zeros(3)))
        >>> "slope -> y" in graph.source
        True
    """
    runs = [_dependencies(model, *run, render_deterministic) for run in _runs(model_args, model_kwargs)]
    relations = [_relations(*run) for run in runs]
    merged = _deep_merge(relations)
    merged["plate_sample"] = separate_plates(merged["plate_sample"])
    specification = generate_graph_specification(merged, render_params)
    specification["node_data"] = _deep_merge(
        [generate_graph_specification(relation, render_params)["node_data"] for relation in relations]
    )
    sizes = _plate_sizes([trace for trace, _ in runs])
    for name, data in specification["plate_data"].items():
        data["size"] = sizes.get(name.partition("__CLONE")[0])
    graph = render_graph(specification, render_distributions=render_distributions)
    if filename is not None:
        write_graph(graph, filename)
    return graph
