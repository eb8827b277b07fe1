"""Estimators, SVI and Predictive give the numbers of pyro-ppl 1.9.2, which programs.py stored in expected.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.infer.programs import Programs

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf8"))
PROGRAMS = Programs("pyroxene")
CASES = dict(PROGRAMS.cases())

MENDED = {
    **dict.fromkeys(
        [
            f"{estimator}, {pair}, 3"
            for estimator in ("Trace_ELBO", "TraceMeanField_ELBO", "TraceGraph_ELBO")
            for pair in ("subsampled", "subsampled_model", "subsampled_score", "discrete_batches")
            if (estimator, pair[-5:]) not in {("TraceMeanField_ELBO", "score"), ("TraceMeanField_ELBO", "tches")}
        ],
        "all particles of a step see one minibatch; Pyro draws one for each",
    ),
    **dict.fromkeys(
        [f"TraceMeanField_ELBO, auxiliary, {form}" for form in ("1", "3", "3 at once", "train")],
        "a Delta's log_density counts, as in Trace_ELBO; Pyro leaves it out of the divergence",
    ),
    **dict.fromkeys(
        [f"TraceGraph_ELBO, {pair}, 3 at once" for pair in ("fixed", "network")],
        "one number is a baseline for all particles; Pyro raises",
    ),
    "Predictive, bare result": "a result that is no tensor comes back as a list; Pyro raises",
}


def assert_same(got, expected, path):
    if isinstance(expected, dict):
        assert set(expected) <= set(got), path  # TraceGraph_ELBO has a differentiable_loss here, and in Pyro not
        for name in expected:
            assert_same(got[name], expected[name], f"{path}/{name}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), path
        for position, (one, other) in enumerate(zip(got, expected, strict=True)):
            assert_same(one, other, f"{path}[{position}]")
    elif isinstance(expected, float):
        assert got == pytest.approx(expected, rel=1e-4, abs=1e-5), path
    else:
        assert got == expected, path


@pytest.mark.parametrize("name", [name for name in CASES if name not in MENDED])
def test_numbers_are_pyro_s(name):
    report, expected = PROGRAMS.run(CASES[name]), EXPECTED[name]
    assert_same(report, expected, "")
    if "first" in expected:
        assert list(report["first"]) == list(expected["first"])  # draws come in Pyro's order


@pytest.mark.parametrize("name", MENDED)
def test_what_differs_runs_and_differs(name):
    report = PROGRAMS.run(CASES[name])
    assert isinstance(report, dict)
    with pytest.raises((AssertionError, TypeError)):
        assert_same(report, EXPECTED[name], "")


def test_every_case_is_stored():
    assert list(EXPECTED) == list(CASES) and set(MENDED) <= set(CASES)
