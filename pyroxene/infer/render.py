"""From the relations of a model to a picture in plate notation: plates, nodes and edges, graphviz, the file."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from pyroxene.errors import MissingPackageError, UsageError

__all__ = ["generate_graph_specification", "render_graph", "separate_plates", "write_graph"]

CLONE = "__CLONE"
"""Marks a copy of a plate: the part of it that lies outside another plate, with which it overlaps."""

GREY = "#d9d9d9"  # soft enough to read black labels on, and distinct from white in print
FILL = {True: GREY, False: "white", None: f"{GREY};0.5:white"}  # observed, latent, observed in some runs only

GRAPH_STYLE = {"fontname": "Helvetica,Arial,sans-serif", "fontsize": "12", "nodesep": "0.3", "ranksep": "0.4"}
NODE_STYLE = {"fontname": GRAPH_STYLE["fontname"], "fontsize": "13", "color": "#404040"}
EDGE_STYLE = {"color": "#404040", "arrowsize": "0.7"}
PLATE_STYLE = {"labeljust": "r", "labelloc": "b", "style": "rounded", "color": "#808080", "fontcolor": "#404040"}


def separate_plates(plate_sample: dict[str, list[str]]) -> dict[str, list[str]]:
    """Split plates that overlap and do not nest, since a drawing cannot show them.

    Args:
        plate_sample: plate -> its sites.

    Returns:
        plate -> its sites. Of two plates that overlap, the later keeps what they share; the rest of it becomes a new
        plate, "name__CLONE".

    Example:
        >>> separate_plates({"p": ["a", "c"], "q": ["b", "c"]})
        {'p': ['a', 'c'], 'q': ['c'], 'q__CLONE': ['b']}
    """
    plates = dict(plate_sample)
    while True:
        for one, other in itertools.combinations(plates, 2):
            shared = set(plates[one]) & set(plates[other])
            if shared and shared != set(plates[one]) and shared != set(plates[other]):
                break
        else:
            return plates
        clone = other + CLONE
        while clone in plates:
            clone += CLONE
        plates[clone] = [name for name in plates[other] if name not in shared]
        plates[other] = [name for name in plates[other] if name in shared]


def _parents(plates: dict[str, list[str]]) -> dict[str, str | None]:
    """Find for each plate the smallest that contains it; of two with the same sites, the later lies in the earlier."""
    parents: dict[str, str | None] = {}
    order = list(plates)
    for position, name in enumerate(order):
        sites = set(plates[name])
        outer = [
            (len(plates[other]), -place, other)
            for place, other in enumerate(order)
            if sites < set(plates[other]) or (place < position and sites == set(plates[other]))
        ]
        parents[name] = min(outer)[2] if outer else None
    return parents


def generate_graph_specification(model_relations: dict[str, Any], render_params: bool = False) -> dict[str, Any]:
    """Turn the relations of a model into nodes, edges and plates to draw.

    Args:
        model_relations: what `get_model_relations` returns.
        render_params: include params.

    Returns:
        a dict with the keys

        - `plate_groups`: plate -> its nodes, and under None the nodes that stand in no plate;
        - `plate_data`: plate -> `{"parent": the plate around it, or None}`;
        - `node_data`: node -> `{"is_observed", "distribution"}`, for params also "constraint";
        - `edge_list`: (upstream, downstream) pairs.

    Example:
        >>> specification = generate_graph_specification({
        ...     "sample_sample": {"m": [], "x": ["m"]}, "sample_dist": {"m": "Normal", "x": "Normal"},
        ...     "plate_sample": {"N": ["x"]}, "observed": ["x"]})
        >>> specification["plate_groups"], specification["edge_list"]
        ({'N': ['x'], None: ['m']}, [('m', 'x')])
    """
    edges = [(up, down) for down, ups in model_relations["sample_sample"].items() for up in ups]
    nodes: dict[str, dict[str, Any]] = {
        name: {"is_observed": name in model_relations["observed"], "distribution": model_relations["sample_dist"][name]}
        for name in model_relations["sample_sample"]
    }
    plates = {name: list(sites) for name, sites in model_relations["plate_sample"].items()}
    in_plates = {name for sites in plates.values() for name in sites}
    free = [name for name in nodes if name not in in_plates]
    if render_params:
        param_edges = [(up, down) for down, ups in model_relations["sample_param"].items() for up in ups]
        edges += param_edges
        for name, constraint in model_relations["param_constraint"].items():
            nodes[name] = {"is_observed": False, "constraint": constraint, "distribution": None}
        free += dict.fromkeys(name for name, _ in param_edges)
    return {
        "plate_groups": {**plates, None: free},
        "plate_data": {name: {"parent": parent} for name, parent in _parents(plates).items()},
        "node_data": nodes,
        "edge_list": edges,
    }


def _deep_merge(things: list[Any]) -> Any:
    """Merge what several runs say: dicts by key, lists as ordered unions, bools to None where the runs disagree."""
    first = things[0]
    if isinstance(first, dict):
        keys = dict.fromkeys(key for thing in things for key in thing)
        return {key: _deep_merge([thing[key] for thing in things if key in thing]) for key in keys}
    if isinstance(first, list):
        merged: list[Any] = []
        for part in itertools.chain.from_iterable(things):
            if part not in merged:
                merged.append(part)
        return merged
    if isinstance(first, bool) and any(thing != first for thing in things):
        return None
    return first


def _graphviz() -> Any:
    try:
        import graphviz
    except ImportError as error:
        raise MissingPackageError(
            "Looks like you want to draw a model, but the Python package graphviz is not installed",
            hint='pip install graphviz, or pip install "pyroxene[plot]"',
        ) from error
    return graphviz


def _identifier(name: str) -> str:
    """Return a node's name in the graph: to graphviz, what follows a colon is a port."""
    return name.replace(":", "%3A")


def _draw_node(graph: Any, name: str, data: dict[str, Any], escape: Any) -> None:
    is_param = data["distribution"] is None
    computed = data["distribution"] == "Deterministic"
    graph.node(
        _identifier(name),
        label=escape(name),
        shape="plain" if is_param else "ellipse",
        style="filled,dashed" if computed else "filled",
        fillcolor="white" if computed else FILL[data["is_observed"]],
    )


def render_graph(graph_specification: dict[str, Any], render_distributions: bool = False) -> Any:
    """Draw nodes, edges and plates.

    Args:
        graph_specification: what `generate_graph_specification` returns; an entry of `plate_data` may also hold "size",
            a text.
        render_distributions: add a note with the distribution of each site and the constraint of each param.

    Returns:
        a `graphviz.Digraph`.

    Raises:
        MissingPackageError: the Python package graphviz is not installed.
    """
    graphviz = _graphviz()
    nodes, plates = graph_specification["node_data"], graph_specification["plate_data"]
    groups = graph_specification["plate_groups"]
    graph = graphviz.Digraph(graph_attr=GRAPH_STYLE, node_attr=NODE_STYLE, edge_attr=EDGE_STYLE)

    def fill(frame: Any, plate: str | None) -> None:
        """Draw the nodes that stand in a plate but in none inside it, and then those plates."""
        inner = [name for name, data in plates.items() if data["parent"] == plate]
        deeper = {name for child in inner for name in groups[child]}
        for name in groups[plate]:
            if name not in deeper:
                _draw_node(frame, name, nodes[name], graphviz.escape)
        for child in inner:
            words = [child.partition(CLONE)[0], plates[child].get("size")]
            with frame.subgraph(name=f"cluster_{child}") as cluster:
                cluster.attr(label=graphviz.escape(" × ".join(filter(None, words))), **PLATE_STYLE)
                fill(cluster, child)

    fill(graph, None)
    for upstream, downstream in graph_specification["edge_list"]:
        graph.edge(_identifier(upstream), _identifier(downstream))
    if render_distributions:
        lines = [
            f"{name} : {data['constraint']}" if data["distribution"] is None else f"{name} ~ {data['distribution']}"
            for name, data in nodes.items()
        ]
        note = "".join(graphviz.escape(line) + r"\l" for line in lines)
        graph.node("distribution_description_node", label=graphviz.nohtml(note), shape="plaintext", fontsize="12")
    return graph


def write_graph(graph: Any, filename: str | os.PathLike[str]) -> None:
    """Write a graph as text (.gv, .dot) or as a picture in any format of graphviz.

    Args:
        graph: a `graphviz.Digraph`.
        filename: where; missing folders are made.

    Raises:
        UsageError: the extension is unknown.
        MissingPackageError: the program dot is not installed; the text is then written beside `filename`, as .gv.
    """
    graphviz = _graphviz()
    path = Path(filename)
    kind = path.suffix[1:].lower()
    if kind not in graphviz.FORMATS:
        raise UsageError(
            f"the extension of {path} names no format that graphviz writes",
            expected=".pdf, .png, .svg; .gv or .dot for text",
            got=path.suffix or "no extension",
            hint=f"filename={path.stem + '.pdf'!r}",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind in ("gv", "dot"):
        path.write_text(graph.source, encoding="utf-8")
        return
    try:
        path.write_bytes(graph.pipe(format=kind))
    except graphviz.ExecutableNotFound as error:
        text = path.with_suffix(".gv")
        text.write_text(graph.source, encoding="utf-8")
        raise MissingPackageError(
            f"the program dot, which draws {path}, is not installed; the graph's text is in {text}",
            expected="dot, of Graphviz, on the PATH",
            got="no such program",
            hint="install Graphviz (apt install graphviz, brew install graphviz, conda install graphviz, or "
            f"https://graphviz.org/download), then: dot -T{kind} {text} -o {path}",
        ) from error
    except graphviz.CalledProcessError as error:
        reason = (error.stderr or b"").decode(errors="replace").strip()
        raise UsageError(
            f"dot cannot write {path}: {reason}", expected=".pdf, .png or .svg", got=path.suffix
        ) from error
