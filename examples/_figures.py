"""What the examples' figures share: one look, one folder, one way to show a distribution."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

__all__ = ["BLUE", "GREY", "INK", "ORANGE", "density", "figure_folder", "parser", "plt", "save", "use_style"]

INK, GREY, BLUE, ORANGE = "#2b2b2b", "#8a8f98", "#2f6db3", "#d9772b"


def use_style() -> None:
    """Set a quiet look: no box, light grid, colours that stay apart in print."""
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "figure.constrained_layout.use": True,
            "font.size": 10.5,
            "axes.titlesize": 11.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.edgecolor": GREY,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e7e9ec",
            "grid.linewidth": 0.8,
            "axes.axisbelow": True,
            "legend.frameon": False,
        }
    )


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return a command line with the options that every example has: --out, --seed, --quick."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, default=Path("figures") / name, help="folder for the figures")
    made.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    made.add_argument("--quick", action="store_true", help="a few steps only, to see that it runs")
    return made


def figure_folder(out: Path) -> Path:
    """Make the folder for figures and set the look."""
    out.mkdir(parents=True, exist_ok=True)
    use_style()
    return out.resolve()


def save(figure: Any, folder: Path, name: str) -> Path:
    """Write a figure as a PNG and close it."""
    path = folder / f"{name}.png"
    figure.savefig(path)
    plt.close(figure)
    return path


def density(values: Any, points: int = 400, low: float = 0.0005, high: float = 0.9995) -> tuple[Any, Any]:
    """Return a kernel density estimate of draws on a grid, (x, density); Silverman's bandwidth."""
    values = np.asarray(values, dtype=float).ravel()
    left, right = np.quantile(values, [low, high])
    spread = min(values.std(ddof=1), (np.quantile(values, 0.75) - np.quantile(values, 0.25)) / 1.34)
    width = 0.9 * max(spread, 1e-12) * len(values) ** -0.2
    grid = np.linspace(left - 2 * width, right + 2 * width, points)
    kernels = np.exp(-0.5 * ((grid[:, None] - values[None, :]) / width) ** 2)
    return grid, kernels.mean(1) / (width * np.sqrt(2 * np.pi))
