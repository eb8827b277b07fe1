"""Errors: four parts, the user's place, and what becomes of them in pickles and catches."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest
import torch

from pyroxene import errors

CLASSES = [
    thing
    for thing in vars(errors).values()
    if inspect.isclass(thing) and issubclass(thing, errors.PyroxeneError) and thing is not errors.PyroxeneError
]


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_is_also_a_builtin(cls):
    builtins = [
        base for base in cls.__mro__ if base.__module__ == "builtins" and base not in (Exception, BaseException, object)
    ]
    assert builtins, f"{cls.__name__} is caught by no `except` written for Pyro"
    assert cls.__doc__ and cls.__name__ in errors.__all__


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_pickle(cls):
    error = cls("what", site="x", plate="p", expected="1", got=torch.zeros(2), hint="h")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls and str(again) == str(error) and again.site == "x" and again.plate == "p"


def test_the_text_has_its_parts_in_order():
    error = errors.ShapeError("no fit", site="x", plate="p", expected=(2,), got=torch.zeros(3, 1), hint="transpose")
    lines = str(error).splitlines()
    assert lines[0] == "no fit"
    assert lines[1].startswith("  where: site 'x', plate 'p', ") and Path(__file__).name in lines[1]
    assert lines[2] == "  expected: (2,)"
    assert lines[3].startswith("  got: a tensor of shape (3, 1), float32")
    assert lines[4] == "  try: transpose"


def test_parts_that_are_not_given_are_left_out():
    assert str(errors.UsageError("just this", source=("f.py", 1, "g"))) == "just this\n  where: f.py:1 in g"


def test_user_source_is_the_nearest_line_outside_the_package():
    filename, line, function = errors.user_source()
    assert Path(filename) == Path(__file__) and function == "test_user_source_is_the_nearest_line_outside_the_package"
    assert line == inspect.currentframe().f_lineno - 2


def test_user_source_of_an_exception():
    try:
        torch.distributions.Normal(0.0, -1.0)
    except ValueError as error:
        source = errors.user_source_of(error)
    assert Path(source[0]) == Path(__file__)


def test_site_named_at_reads_the_statement():
    here = inspect.currentframe().f_lineno
    # sample("theta", dist.Normal(
    #     0.0, -1.0))
    assert errors.site_named_at((__file__, here + 1, "f")) == "theta"
    assert errors.site_named_at((__file__, here + 2, "f")) == "theta"
    assert errors.site_named_at((__file__, 1, "f")) is None and errors.site_named_at(None) is None


def test_describe_is_short():
    assert errors.describe(torch.tensor([1.0, 2.0])) == "a tensor of shape (2,), float32, [1.0, 2.0]"
    assert errors.describe(torch.zeros(100)) == "a tensor of shape (100,), float32"
    assert errors.describe(torch.Size([2, 3])) == "(2, 3)"
    assert len(errors.describe("x" * 10)) == 10 and len(errors.describe(list(range(1000)))) == 80
