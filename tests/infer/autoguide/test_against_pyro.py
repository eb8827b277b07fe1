"""Every guide gives the numbers that it gives under pyro-ppl 1.9.2, stored in expected.json by programs.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import pyroxene
from tests.infer.autoguide.programs import Programs

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text(encoding="utf8"))
PROGRAMS = Programs("pyroxene")
CASES = list(PROGRAMS.cases())


def assert_same(got, expected, path):
    if isinstance(expected, dict):
        assert list(got) == list(expected), path
        for name in expected:
            assert_same(got[name], expected[name], f"{path}/{name}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), path
        for position, (one, other) in enumerate(zip(got, expected, strict=True)):
            assert_same(one, other, f"{path}[{position}]")
    else:
        assert got == pytest.approx(expected, rel=2e-4, abs=2e-4), path


@pytest.mark.parametrize(("maker", "model"), CASES)
def test_guide_gives_the_numbers_that_it_gives_on_pyro(maker, model, monkeypatch):
    # guides start at draws; LKJCholesky's are drawn otherwise, and rightly: here as in Pyro, so that numbers compare
    monkeypatch.setattr(pyroxene.distributions.LKJCholesky, "sample", torch.distributions.LKJCholesky.sample)
    _, report = PROGRAMS.run(maker, model)
    assert_same(report, EXPECTED[f"{maker}, {model}"], "")


def test_every_case_is_stored():
    assert list(EXPECTED) == [f"{maker}, {model}" for maker, model in CASES]


@pytest.mark.parametrize(("maker", "model"), CASES)
def test_a_checkpoint_of_pyro_loads(maker, model):
    stored = EXPECTED[f"{maker}, {model}"]
    state = {name: torch.tensor(numbers).reshape(shape) for name, (shape, numbers) in stored["state"].items()}
    guide = PROGRAMS.makers()[maker](getattr(PROGRAMS, model))
    guide()
    guide.load_state_dict(state)
    if "median" in stored:
        medians = guide.median()
        assert list(medians) == list(stored["median"])
        for name, (shape, numbers) in stored["median"].items():
            torch.testing.assert_close(medians[name], torch.tensor(numbers).reshape(shape), rtol=2e-4, atol=2e-4)
    else:
        for name, value in guide.state_dict().items():
            torch.testing.assert_close(value, state[name])
    again = PROGRAMS.makers()[maker](getattr(PROGRAMS, model))
    pyroxene.clear_param_store()
    again()
    again.load_state_dict(guide.state_dict())
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
