"""The table of a run: for each parameter mean, spread, quantiles, R-hat and effective sample sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from pyroxene.diagnostics.draws import FEWEST_DRAWS, convergence, sort_draws
from pyroxene.errors import UsageError

__all__ = ["Summary", "summarize"]


@dataclass(frozen=True)
class Summary:
    """A row for each scalar parameter, a column for each statistic; final. It prints as a table.

    Attributes:
        names: of the parameters, such as "theta[0]" or "cov[1,2]".
        columns: float64 tensors of shape (len(names),), by name: "mean", "std", "median", the quantiles such as
            "5.0%", "r_hat", "ess_bulk", "ess_tail".
        num_chains: how many chains.
        num_draws: of each chain.

    Example:
        >>> draws = torch.linspace(-1.0, 1.0, 400).reshape(100, 4).T.contiguous()
        >>> print(summarize({"x": draws}))
                mean      std   median     5.0%    95.0%    r_hat  ess_bulk  ess_tail
        x       0.00     0.58     0.00    -0.90     0.90     1.72         7        73
    """

    names: tuple[str, ...]
    columns: dict[str, torch.Tensor]
    num_chains: int
    num_draws: int

    def __getitem__(self, name: str) -> dict[str, float]:
        """Return one parameter's row.

        Raises:
            KeyError: no parameter has that name.
        """
        if name not in self.names:
            raise KeyError(name)
        row = self.names.index(name)
        return {column: values[row].item() for column, values in self.columns.items()}

    def table(self, max_rows: int | None = None) -> str:
        """Return the table as text.

        Args:
            max_rows: leave rows out in the middle beyond so many.
        """
        rows = range(len(self.names))
        kept: list[int | None] = list(rows)
        if max_rows is not None and len(rows) > max_rows:
            half = max(max_rows // 2, 1)
            kept = [*rows[:half], None, *rows[-half:]]
        wide = max([len("..."), *(len(self.names[row]) for row in kept if row is not None)])
        columns = {name: values.tolist() for name, values in self.columns.items()}
        width = {name: 10 if name.startswith("ess") else 9 for name in columns}
        head = " " * wide + "".join(f"{name:>{width[name]}}" for name in columns)
        lines = [head]
        for row in kept:
            if row is None:
                lines.append(f"{'...':<{wide}}")
                continue
            cells = (_cell(name, values[row], width[name]) for name, values in columns.items())
            lines.append(f"{self.names[row]:<{wide}}" + "".join(cells))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table(max_rows=200)


def _cell(column: str, value: float, width: int) -> str:
    if value != value:
        return f"{'nan':>{width}}"
    if column.startswith("ess"):
        return f"{value:>{width}.0f}"
    fine = column == "r_hat" or value == 0 or 0.01 <= abs(value) < 10000
    text = f"{value:.2f}" if fine else f"{value:.1e}"
    return " " + text.rjust(width - 1)


def summarize(samples: Mapping[str, torch.Tensor], quantiles: Sequence[float] = (0.05, 0.95)) -> Summary:
    """Return the table of draws.

    Args:
        samples: by site name, shape (num_chains, num_draws, *site shape).
        quantiles: which to show beside the median, each from 0 to 1.

    Returns:
        a table; R-hat and effective sample sizes are nan where a parameter is constant, not finite, or has fewer than
        four draws a chain.

    Raises:
        UsageError: a quantile is no probability, or the sites differ in chains or draws.

    Example:
        >>> draws = torch.randn(4, 500, 2, generator=torch.Generator().manual_seed(0))
        >>> table = summarize({"x": draws})
        >>> table.names, sorted(table.columns)
        (('x[0]', 'x[1]'), ['5.0%', '95.0%', 'ess_bulk', 'ess_tail', 'mean', 'median', 'r_hat', 'std'])
    """
    if any(not 0 <= prob <= 1 for prob in quantiles):
        raise UsageError("a quantile is no probability", expected="numbers from 0 to 1", got=list(quantiles))
    shapes = {values.shape[:2] for values in samples.values()}
    if len(shapes) > 1:
        raise UsageError("the sites differ in chains or draws", expected="one (num_chains, num_draws)", got=shapes)
    num_chains, num_draws = shapes.pop() if shapes else (0, 0)
    names = tuple(name for site, values in samples.items() for name in _names(site, values.shape[2:]))
    parts = [
        values.detach().cpu().to(torch.float64).reshape(num_chains, num_draws, math.prod(values.shape[2:]))
        for values in samples.values()
    ]
    draws = torch.cat(parts, dim=-1) if parts else torch.zeros(0, 0, 0, dtype=torch.float64)
    return Summary(names, _columns(draws, quantiles), num_chains, num_draws)


def _columns(draws: torch.Tensor, quantiles: Sequence[float]) -> dict[str, torch.Tensor]:
    """Return the statistics of draws (num_chains, num_draws, num_parameters)."""
    pooled = draws.flatten(0, 1).T.contiguous()
    num_parameters, size = pooled.shape
    unknown = torch.full((num_parameters,), torch.nan, dtype=torch.float64)
    labels = [f"{100 * prob:.1f}%" for prob in quantiles]
    if size == 0 or num_parameters == 0:
        return dict.fromkeys(["mean", "std", "median", *labels, "r_hat", "ess_bulk", "ess_tail"], unknown)
    ordered = sort_draws(pooled)
    position = torch.tensor([0.5, *quantiles], dtype=torch.float64) * (size - 1)
    below, above = position.floor().long(), position.ceil().long()
    low = ordered[:, below]
    shown = torch.lerp(low, ordered[:, above], position - below)
    std = pooled.std(-1) if size > 1 else unknown
    columns = {"mean": pooled.mean(-1), "std": std, "median": shown[:, 0]}
    columns.update({label: shown[:, index] for index, label in enumerate(labels, start=1)})
    enough = draws.shape[1] >= FEWEST_DRAWS
    columns["r_hat"], columns["ess_bulk"], columns["ess_tail"] = (
        convergence(draws) if enough else (unknown, unknown, unknown)
    )
    return columns


def _names(site: str, shape: torch.Size) -> list[str]:
    if not shape:
        return [site]
    return [f"{site}[{','.join(map(str, index))}]" for index in itertools.product(*map(range, shape))]
