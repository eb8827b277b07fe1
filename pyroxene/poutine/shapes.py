"""The table of a trace's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["format_shapes"]

Row = list[str | None]


def _site_rows(name: str, site: Mapping[str, Any]) -> list[Row]:
    """A sample site's rows: distribution, value, and log density where it was computed."""
    fn = site["fn"]
    batch_shape = getattr(fn, "batch_shape", ())
    event_shape = getattr(fn, "event_shape", ())
    rows: list[Row] = [[f"{name} dist", None, *map(str, batch_shape), "|", *map(str, event_shape)]]
    shape = getattr(site["value"], "shape", ())
    cut = len(shape) - len(event_shape)
    rows.append(["value", None, *map(str, shape[:cut]), "|", *map(str, shape[cut:])])
    if "log_prob" in site:
        rows.append(["log_prob", None, *map(str, site["log_prob"].shape), "|"])
    return rows


def format_shapes(nodes: Mapping[str, Mapping[str, Any]], title: str, last_site: str | None) -> str:
    """Lay the sites of a trace out in a table: names right-aligned, bars under each other.

    Args:
        nodes: the trace's sites in order.
        title: the first line.
        last_site: where to end, or None.
    """
    if not nodes:
        return title
    rows: list[Row] = [[title]]
    rows.append(["Param Sites:"])
    for name, site in nodes.items():
        if site["type"] == "param":
            rows.append([name, None, *map(str, getattr(site["value"], "shape", ()))])
            if name == last_site:
                return _align([*rows, ["Sample Sites:"]])
    rows.append(["Sample Sites:"])
    for name, site in nodes.items():
        if site["type"] == "sample":
            rows.extend(_site_rows(name, site))
            if name == last_site:
                break
    return _align(rows)


def _align(rows: list[Row]) -> str:
    """Right-align what stands before a bar, left-align what stands after it; a row without one ends in its column."""
    parts: list[tuple[str, list[str], list[str]]] = []
    for row in rows:
        shape = [cell for cell in row[1:] if cell is not None]
        cut = shape.index("|") if "|" in shape else max(len(shape) - 1, 0)
        parts.append((row[0] or "", shape[:cut], shape[cut:]))
    left = max(len(before) for _, before, _ in parts)
    right = max(len(after) for _, _, after in parts)
    table = [
        [name, *[""] * (left - len(before)), *before, *after, *[""] * (right - len(after))]
        for name, before, after in parts
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(" ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
