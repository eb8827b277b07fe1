"""How reductions are written in C: where each starts, and how it takes one more value."""

from __future__ import annotations

__all__ = ["CLAUSE", "START", "both", "combine"]

START = {"sum": "0.0", "prod": "1.0", "max": "(-INFINITY)", "min": "INFINITY", "any": "0.0", "all": "1.0"}
CLAUSE = {"sum": "+", "prod": "*", "max": "max", "min": "min", "any": "max", "all": "min"}
_OPERATOR = {"sum": "+", "prod": "*", "any": "|", "all": "&"}
_COMPARE = {"max": ">", "any": ">", "min": "<", "all": "<"}


def combine(how: str, total: str, value: str) -> str:
    """Return a statement that takes one more value into a total."""
    if how in _COMPARE:
        return f"{total} = {value} {_COMPARE[how]} {total} ? {value} : {total};"
    return f"{total} {CLAUSE[how]}= {value};"


def both(how: str, one: str, other: str) -> str:
    """Return the expression of two values taken together."""
    if how in ("max", "min"):
        return f"({one} {_COMPARE[how]} {other} ? {one} : {other})"
    return f"({one} {_OPERATOR[how]} {other})"
