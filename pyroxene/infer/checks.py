"""What is checked before a trace is believed: shapes against plates, the guide against the model, NaN."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import torch
from torch.jit._trace import TracerWarning

from pyroxene.errors import GuideError, ShapeError, Source
from pyroxene.poutine.trace_struct import Trace, site_is_subsample

__all__ = [
    "check_model_guide_match",
    "check_site_shape",
    "check_traceenum_requirements",
    "ignore_experimental_warning",
    "ignore_jit_warnings",
    "torch_isinf",
    "torch_isnan",
    "warn_if_inf",
    "warn_if_nan",
]


def torch_isnan(x: Any) -> bool:
    """Say whether a number, or any element of a tensor, is NaN."""
    return bool(torch.isnan(x).any()) if isinstance(x, torch.Tensor) else math.isnan(x)


def torch_isinf(x: Any) -> bool:
    """Say whether a number, or any element of a tensor, is infinite."""
    return bool(torch.isinf(x).any()) if isinstance(x, torch.Tensor) else math.isinf(x)


def warn_if_nan(value: Any, msg: str = "") -> Any:
    """Warn where a value holds a NaN; return the value."""
    if torch_isnan(value):
        warnings.warn(f"Encountered NaN{': ' + msg if msg else '.'}", UserWarning, stacklevel=2)
    return value


def warn_if_inf(value: Any, msg: str = "", allow_posinf: bool = False, allow_neginf: bool = False) -> Any:
    """Warn where a value holds an infinity that is not allowed; return the value."""
    tensor = torch.as_tensor(value)
    for bad, allowed, sign in ((math.inf, allow_posinf, "+"), (-math.inf, allow_neginf, "-")):
        if not allowed and bool((tensor == bad).any()):
            warnings.warn(f"Encountered {sign}inf{': ' + msg if msg else '.'}", UserWarning, stacklevel=2)
    return value


@contextmanager
def ignore_jit_warnings(filter: Any = None) -> Iterator[None]:
    """Silence warnings of torch's tracer inside a block.

    Args:
        filter: messages, or (message, category) pairs, to silence; all TracerWarnings where it is None.
    """
    with warnings.catch_warnings():
        if filter is None:
            warnings.simplefilter("ignore", category=TracerWarning)
        for item in filter or ():
            message, category = item if isinstance(item, tuple) else (item, TracerWarning)
            warnings.filterwarnings("ignore", category=category, message=message)
        yield


@contextmanager
def ignore_experimental_warning() -> Iterator[None]:
    """Silence torch's warnings that an operation is experimental, inside a block."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, message="CUDA initialization|.*experimental.*")
        yield


def _expected_shape(site: Any) -> list[int]:
    """The batch shape that a site's plates declare; -1 where any size fits: right of a plate, or of unknown size."""
    expected: list[int | None] = []
    for frame in site["cond_indep_stack"]:
        dim = frame.dim
        if dim is None:
            continue
        if len(expected) < -dim:
            expected[:0] = [None] * (-dim - len(expected))
        if expected[dim] is not None:
            raise ShapeError(
                f'at site "{site["name"]}" within plate("{frame.name}", dim={dim}): two plates want dim {dim}',
                site=site["name"],
                plate=frame.name,
                source=site.get("source"),
                expected="one plate for each batch dimension",
                got=[(f.name, f.dim) for f in site["cond_indep_stack"]],
                hint="give one of the plates another dim",
            )
        expected[dim] = frame.size
    return [-1 if size is None else size for size in expected]


def check_site_shape(site: Any, max_plate_nesting: float) -> None:
    """Check that a site's log density has the batch shape that its plates declare.

    Args:
        site: a sample site with `log_prob`.
        max_plate_nesting: how many batch dimensions plates may take; those further left are enumeration's.

    Raises:
        ShapeError: (a ValueError) a batch dimension has no plate, or a plate's size differs.
    """
    actual = list(site["log_prob"].shape)
    expected = _expected_shape(site)
    if len(expected) > max_plate_nesting:
        raise ShapeError(
            f'at site "{site["name"]}", plate stack overflow',
            site=site["name"],
            source=site.get("source"),
            expected=f"at most max_plate_nesting={max_plate_nesting} plate dimensions",
            got=f"{len(expected)}",
            hint="raise max_plate_nesting",
        )
    if actual == expected:
        return
    if max_plate_nesting < len(actual):
        actual = actual[len(actual) - int(max_plate_nesting) :] if max_plate_nesting > 0 else []
    for have, want in zip_longest(reversed(actual), reversed(expected), fillvalue=1):
        if want not in (-1, have):
            _raise_log_prob_shape(site, expected, actual)


def _raise_log_prob_shape(site: Any, expected: list[int], actual: list[int]) -> None:
    plates = [frame.name for frame in site["cond_indep_stack"]]
    raise ShapeError(
        f'at site "{site["name"]}", invalid log_prob shape: a batch dimension is not declared by a plate',
        site=site["name"],
        plate=plates[-1] if plates else None,
        source=site.get("source"),
        expected=f"log_prob of shape {expected}"
        + (f", from the plates {plates}" if plates else ", as no plate is around it"),
        got=f"log_prob of shape {actual}; batch_shape {tuple(getattr(site['fn'], 'batch_shape', ()))}, "
        f"event_shape {tuple(getattr(site['fn'], 'event_shape', ()))}, value of shape {tuple(site['value'].shape)}",
        hint=f"put it inside `with pyroxene.plate('name', {actual[-1] if actual else 1}):` where its elements are "
        "independent; or declare the dimension an event with .to_event(1); or permute the data",
    )


def _where(trace: Trace, names: set[str]) -> tuple[str, Source | None]:
    name = sorted(names)[0]
    return name, trace.nodes[name].get("source")


def check_model_guide_match(model_trace: Trace, guide_trace: Trace, max_plate_nesting: float = math.inf) -> None:
    """Check that a guide's sites are the model's latent sites, of the same shapes.

    Args:
        model_trace: the model's run.
        guide_trace: the guide's run.
        max_plate_nesting: how many batch dimensions plates may take.

    Raises:
        GuideError: (a ValueError) a site is missing on one side, is observed in the guide, or differs in shape.
    """
    guide_sites: set[str] = set()
    auxiliary: set[str] = set()
    guide_plates: set[str] = set()
    for name, site in guide_trace.nodes.items():
        if site["type"] != "sample":
            continue
        infer = site["infer"]
        if site_is_subsample(site):
            guide_plates.add(name)
        elif site["is_observed"]:
            if not (infer.get("is_auxiliary") or infer.get("_deterministic")):
                _raise_observed(name, site)
        else:
            (auxiliary if infer.get("is_auxiliary") else guide_sites).add(name)
    model_sites: set[str] = set()
    enumerated: set[str] = set()
    model_plates: set[str] = set()
    for name, site in model_trace.nodes.items():
        if site["type"] != "sample":
            continue
        if site_is_subsample(site):
            model_plates.add(name)
        elif not site["is_observed"]:
            model_sites.add(name)
            if "_enumerate_dim" in site["infer"] and name not in guide_sites:
                enumerated.add(name)

    both = auxiliary & model_sites
    if both:
        name, source = _where(guide_trace, both)
        raise GuideError(
            f"Found auxiliary vars in the model: {sorted(both)}",
            site=name,
            source=source,
            expected="infer={'is_auxiliary': True} only at guide sites that the model does not have",
            got=f"'{name}' in both",
            hint="drop is_auxiliary, or rename the guide's site",
        )
    extra = guide_sites - model_sites
    if extra:
        name, source = _where(guide_trace, extra)
        in_model = name in model_trace.nodes
        raise GuideError(
            f"Found non-auxiliary vars in guide but not model: {sorted(extra)}",
            site=name,
            source=source,
            expected=f"the model's latent sites {sorted(model_sites)}",
            got=f"'{name}'" + (", which the model observes" if in_model else ""),
            hint="remove the site; correct its name; or mark it infer={'is_auxiliary': True}",
        )
    lost = model_sites - guide_sites - enumerated
    if lost:
        name, source = _where(model_trace, lost)
        raise GuideError(
            f"Found vars in model but not guide: {sorted(lost)}",
            site=name,
            source=source,
            expected=f"a guide site for each of {sorted(model_sites)}",
            got=sorted(guide_sites),
            hint="add the site to the guide (as an autoguide does by itself), or give it obs in the model",
        )
    for name in guide_sites & model_sites:
        _check_same_shape(name, model_trace.nodes[name], guide_trace.nodes[name], max_plate_nesting)
    if not guide_plates <= model_plates:
        warnings.warn(
            f"Found plate statements in guide but not model: {sorted(guide_plates - model_plates)}", stacklevel=3
        )


def _raise_observed(name: str, site: Any) -> None:
    raise GuideError(
        f"Found observed vars in guide: ['{name}']",
        site=name,
        source=site.get("source"),
        expected="a guide that observes nothing",
        got=f"obs at site '{name}'",
        hint="remove the statement from the guide: the model alone observes the data",
    )


def _check_same_shape(name: str, model_site: Any, guide_site: Any, max_plate_nesting: float) -> None:
    model_fn, guide_fn = model_site["fn"], guide_site["fn"]
    if not (hasattr(model_fn, "event_dim") and hasattr(guide_fn, "event_dim")):
        return
    if model_fn.event_dim != guide_fn.event_dim:
        raise GuideError(
            f"Model and guide event_dims disagree at site '{name}': {model_fn.event_dim} vs {guide_fn.event_dim}",
            site=name,
            source=guide_site.get("source"),
            expected=f"event_dim {model_fn.event_dim}, of event_shape {tuple(model_fn.event_shape)}",
            got=f"event_dim {guide_fn.event_dim}, of event_shape {tuple(guide_fn.event_shape)}",
            hint=".to_event(n) in the guide",
        )
    model_shape, guide_shape = model_fn.shape(), guide_fn.shape()
    if model_shape == guide_shape:
        return
    cut = len(model_fn.event_shape)
    if max_plate_nesting != math.inf:
        keep = int(max_plate_nesting) + cut
        model_shape, guide_shape = model_shape[-keep:] if keep else (), guide_shape[-keep:] if keep else ()
    for have, want in zip_longest(reversed(guide_shape), reversed(model_shape), fillvalue=1):
        if have != want:
            raise GuideError(
                f"Model and guide shapes disagree at site '{name}': {tuple(model_shape)} vs {tuple(guide_shape)}",
                site=name,
                source=guide_site.get("source"),
                expected=f"shape {tuple(model_shape)}",
                got=f"shape {tuple(guide_shape)}",
                hint="give model and guide the same plates",
            )


def check_traceenum_requirements(model_trace: Trace, guide_trace: Trace) -> None:
    """Warn where a guide's site outside a plate follows an enumerated site inside it.

    The guide's enumerated sites are summed out in the order of the run, plate by plate; a later site outside the plate
    would need the sum over the whole plate. The model's are eliminated in any order, so nothing is asked of it.

    Args:
        model_trace: the model's run.
        guide_trace: the guide's run.
    """
    inside: list[tuple[frozenset[str], str]] = []
    for name, site in guide_trace.nodes.items():
        if site["type"] != "sample" or site_is_subsample(site):
            continue
        plates = frozenset(frame.name for frame in site["cond_indep_stack"] if frame.vectorized)
        for other_plates, other in inside:
            if plates < other_plates:
                warnings.warn(
                    f"guide: site '{name}' outside plates {sorted(other_plates - plates)} follows the enumerated "
                    f"site '{other}' inside them",
                    stacklevel=2,
                )
        if site["infer"].get("_enumerate_dim") is not None:
            inside.append((plates, name))
