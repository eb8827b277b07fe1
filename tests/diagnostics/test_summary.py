"""The table: its numbers, its names, its looks."""

from __future__ import annotations

import pytest
import torch

from pyroxene.diagnostics import Summary, ess_bulk, ess_tail, rhat, summarize
from pyroxene.errors import UsageError


@pytest.fixture
def samples():
    torch.manual_seed(0)
    return {"mu": torch.randn(4, 100), "b": torch.randn(4, 100, 2, 3) * 1000, "n": torch.randint(0, 5, (4, 100))}


def test_the_numbers(samples):
    table = summarize(samples, (0.05, 0.5, 0.95))
    assert isinstance(table, Summary)
    assert table.names == ("mu", "b[0,0]", "b[0,1]", "b[0,2]", "b[1,0]", "b[1,1]", "b[1,2]", "n")
    assert (table.num_chains, table.num_draws) == (4, 100)
    b = samples["b"][..., 1, 2].double()
    row = table["b[1,2]"]
    assert row["mean"] == pytest.approx(b.mean().item()) and row["std"] == pytest.approx(b.std().item())
    assert row["median"] == pytest.approx(row["50.0%"]) == pytest.approx(b.flatten().quantile(0.5).item())
    assert row["5.0%"] == pytest.approx(b.flatten().quantile(0.05).item())
    for column, statistic in (("r_hat", rhat), ("ess_bulk", ess_bulk), ("ess_tail", ess_tail)):
        assert row[column] == pytest.approx(statistic(b).item())
    with pytest.raises(KeyError):
        table["nu"]


def test_it_prints_a_row_for_each_parameter(samples):
    lines = str(summarize(samples)).splitlines()
    assert len(lines) == 9 and len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["mean", "std", "median", "5.0%", "95.0%", "r_hat", "ess_bulk", "ess_tail"]
    shortened = summarize(samples).table(max_rows=4).splitlines()
    assert len(shortened) == 6 and shortened[3].strip() == "..."


def test_few_draws_and_none():
    few = summarize({"x": torch.tensor([[1.0, 3.0]])})
    assert few["x"]["mean"] == 2.0 and few.columns["r_hat"].isnan().all() and "nan" in str(few)
    one = summarize({"x": torch.tensor([[1.0]])})
    assert one["x"]["mean"] == 1.0 and one.columns["std"].isnan().all()
    assert summarize({}).names == ()
    assert summarize({"x": torch.zeros(2, 10, 0)}).names == ()
    assert summarize({"x": torch.zeros(2, 0)}).columns["mean"].isnan().all()


def test_mistakes():
    with pytest.raises(UsageError, match="no probability"):
        summarize({"x": torch.zeros(2, 10)}, (5, 95))
    with pytest.raises(UsageError, match="differ in chains"):
        summarize({"x": torch.zeros(2, 10), "y": torch.zeros(2, 9)})
