"""Whole programs in Pyro's idiom print on pyroxene what they printed on pyro-ppl 1.9.2 (programs/expected)."""

import sys
from pathlib import Path

import pytest

from scripts.compare_programs import PROGRAMS, differences, programs, run

SECONDS = 20


@pytest.mark.parametrize("program", programs(), ids=lambda path: path.stem)
def test_program_prints_what_it_prints_on_pyro(program: Path):
    expected = (PROGRAMS / "expected" / f"{program.stem}.txt").read_text(encoding="utf8")
    output, errors, code, _ = run([sys.executable, "-m", "pyroxene", "run", str(program)], timeout=SECONDS)
    assert code == 0, errors
    assert not (found := differences(expected, output)), "\n".join(found)


def test_every_program_has_its_expected_output():
    assert {path.stem for path in programs()} == {path.stem for path in (PROGRAMS / "expected").iterdir()}
    assert len(programs()) >= 10


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("loss: 1.234 -2e-05", "loss: 1.2341 -2e-05", True),
        ("loss: 1.234", "loss: 1.236", False),
        ("loss: 1.234", "cost: 1.234", False),
        ("state_1: []", "state_2: []", False),
        ("x (3, 2)", "x (3, 1)", False),
        ("a\nb", "a", False),
        ("loss: -1.0", "loss: 1.0", False),
        ("loss: nan", "loss: 1.0", False),
    ],
)
def test_differences_finds_what_differs(expected: str, got: str, same: bool):
    assert (not differences(expected, got)) is same
    assert not differences(expected, expected, rtol=0.0)
