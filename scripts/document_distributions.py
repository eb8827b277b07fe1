#!/usr/bin/env python3
"""Write docs/distributions.md and its pictures, from `pyroxene.distributions.__all__` and the contract's tables.

Usage: PYTHONPATH=. python scripts/document_distributions.py

A class is where its module is; what it offers is found by trying on its case of the contract. Needs the `test` extra.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import matplotlib.ticker
import torch
import torch.distributions as torchdist
from torch.distributions.kl import _KL_REGISTRY

import pyroxene.distributions as dist
from tests.distributions.test_contract import CASES
from tests.distributions.test_native import FALL_BACK, NOTHING_REAL, is_count

matplotlib.use("Agg")

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "distributions.md"
PICTURES = ROOT / "docs" / "distributions"
BLUE, GREY = "#2f6db3", "#8a8f98"
CASE = {each.values[0].cls: each.values[0] for each in reversed(CASES)}
NOT_TRIED = (NotImplementedError, AttributeError, TypeError, ValueError, RuntimeError)

BOUNDED = {
    "GreaterThan": "> {}",
    "GreaterThanEq": "≥ {}",
    "LessThan": "< {}",
    "Interval": "{} to {}",
    "IntegerGreaterThan": "integer ≥ {}",
    "IntegerInterval": "integer, {} to {}",
}


def classes() -> list[type]:
    """The distributions among the public names."""
    found = (getattr(dist, name) for name in dist.__all__)
    return [each for each in found if isinstance(each, type) and issubclass(each, torchdist.Distribution)]


def make(cls: type) -> Any:
    """A distribution of the class by its case in the contract; None where there is none."""
    torch.manual_seed(3)
    return CASE[cls].make() if cls in CASE else None


def first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n", 1)[0].split(" pyroxene's", 1)[0].replace("|", "\\|")


def works(call: Any) -> bool:
    """Whether a call gives an answer."""
    try:
        return call() is not None
    except NOT_TRIED:
        return False


def support(cls: type, made: Any) -> str:
    """The constraint's name, with its bounds where all distributions of the class have the same."""
    always = getattr(cls, "support", None)
    constraint = always if made is None else made.support
    if not isinstance(constraint, torchdist.constraints.Constraint):
        return "of its arguments"
    while hasattr(constraint, "base_constraint"):
        constraint, always = constraint.base_constraint, getattr(always, "base_constraint", None)
    kind = type(constraint).__name__.removeprefix("_").removesuffix("Constraint")
    if kind.startswith("Dependent"):
        return "of its arguments"
    if kind not in BOUNDED:
        return kind
    bounds = [getattr(constraint, bound, None) for bound in ("lower_bound", "upper_bound")]
    fixed = type(always) is type(constraint) and all(b is None or isinstance(b, (int, float)) for b in bounds)
    shown = [f"{bound:.4g}" if fixed else "argument" for bound in bounds if bound is not None]
    return BOUNDED[kind].format(*shown)


def offers(cls: type, made: Any) -> list[str]:
    """Yes or no for each column."""
    if made is None:
        return ["·"] * 8
    value = made.sample()
    answers = [
        works(lambda: made.cdf(value)),
        works(lambda: made.icdf(torch.full(made.batch_shape, 0.3, dtype=torch.float64))),
        works(lambda: (made.log_cdf(value), made.log_survival(value))),
        bool(made.has_rsample),
        works(lambda: made.entropy()),
        works(lambda: made.mode),
        bool(made.has_enumerate_support),
        cls.__name__ not in FALL_BACK and cls.__name__ not in NOTHING_REAL,
    ]
    return ["✓" if answer else "" for answer in answers]


def divergences(cls: type) -> str:
    """The classes that a divergence in closed form leads to."""
    base = (torchdist.Distribution, dist.ExpandedDistribution)
    to = {q for p, q in _KL_REGISTRY if p not in base and issubclass(cls, p) and q not in base}
    names = sorted({q.__name__.removeprefix("_") for q in to})
    return ", ".join(name for name in names if hasattr(dist, name) or hasattr(torchdist, name))


def picture(cls: type, made: Any) -> bool:
    """Draw a univariate density between quantiles of its draws; say whether there was one."""
    if made is None or made.event_shape or made.batch_shape:
        return False
    torch.manual_seed(0)
    draws = made.sample((2000,)).double()
    first, last, left, right = (draws.quantile(q).item() for q in (0.005, 0.995, 0.25, 0.75))
    low, high = max(first, left - 3 * (right - left)), min(last, right + 3 * (right - left))  # heavy tails are cut
    spread = high - low
    figure, axes = plt.subplots(figsize=(1.8, 0.9))
    if is_count(made.support) or draws.unique().numel() <= 100:
        x = torch.arange(round(low), max(round(high), round(low) + 2) + 1, dtype=torch.float64)
        x = x[made.support.check(x)] if is_count(made.support) else draws.unique()
        axes.vlines(x, 0, density(made, x), color=BLUE, lw=2)
    else:
        x = torch.linspace(low - 0.15 * spread, high + 0.15 * spread, 300, dtype=torch.float64)
        inside = made.support.check(x)
        y = torch.zeros_like(x)
        y[inside] = density(made, x[inside])
        axes.fill_between(x, y, color=BLUE, alpha=0.18, lw=0)
        axes.plot(x, y, color=BLUE, lw=1.2)
        heights = y[y.isfinite()]
        axes.set_ylim(0, min(1.1 * heights.max().item(), 8 * heights.mean().item()))
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.tick_params(labelsize=6, length=2, color=GREY, pad=1)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=is_count(made.support)))
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    figure.tight_layout(pad=0.2)
    figure.savefig(PICTURES / f"{cls.__name__}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return True


def density(made: Any, x: torch.Tensor) -> torch.Tensor:
    """The density at each value; 0 where it is no number."""
    return made.log_prob(x).exp().detach().double().nan_to_num(0.0, posinf=0.0)


def kinship(cls: type) -> str:
    """The heading: the first line of the docstring of the class's module."""
    module = sys.modules[cls.__module__]
    return (module.__doc__ or cls.__module__).strip().split("\n", 1)[0].rstrip(".")


COLUMNS = ["class", "density", "support", "cdf", "icdf", "tails", "rsample", "entropy", "mode", "enumerate", "native"]
INTRODUCTION = """# Distributions

Every class of `pyroxene.distributions`, with its kin. Written by `scripts/document_distributions.py`; do not edit.

A tick says that the method gave an answer for the parameters that the contract's tests use; a dot that they
have none for the class, which is a base or a wrapper of others. **tails**: `log_cdf` and `log_survival`. **rsample**:
draws carry gradients. **enumerate**: `enumerate_support`. **native**: the log density and its gradient run as machine
code. "KL to" names the classes of q for which `kl_divergence(p, q)` has a closed form. Pictures: the density, or the
probabilities, for one choice of parameters.
"""


def main() -> None:
    warnings.simplefilter("ignore")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob("*.png"):
        old.unlink()
    groups: dict[str, list[type]] = defaultdict(list)
    for cls in classes():
        groups[kinship(cls)].append(cls)
    lines = [INTRODUCTION]
    for heading in sorted(groups):
        lines += [f"## {heading}", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        below = []
        for cls in sorted(groups[heading], key=lambda each: each.__name__):
            name, made = cls.__name__, make(cls)
            shown = f"![{name}](distributions/{name}.png)" if picture(cls, made) else ""
            cells = [f"`{name}`", shown, support(cls, made), *offers(cls, made)]
            lines.append(f"| {' | '.join(cells)} |")
            known = divergences(cls)
            below.append(f"- `{name}`: {first_line(cls)}" + (f" KL to {known}." if known else ""))
        lines += ["", *below, ""]
    PAGE.write_text("\n".join(lines))
    size = sum(path.stat().st_size for path in PICTURES.glob("*.png"))
    print(f"{PAGE}: {len(classes())} classes, {len(list(PICTURES.glob('*.png')))} pictures, {size // 1024} KiB")


if __name__ == "__main__":
    main()
