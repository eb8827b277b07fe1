"""`block` and `escape`."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import UsageError
from pyroxene.poutine.handlers import BlockMessenger, EscapeMessenger
from pyroxene.poutine.runtime import _PYRO_STACK

NORMAL = dist.Normal(0.0, 1.0)


def model():
    pyroxene.param("p", torch.ones(()))
    pyroxene.sample("x", NORMAL)
    return pyroxene.sample("z", NORMAL, obs=torch.tensor(1.0))


def seen(**lists):
    return "".join(name for name in poutine.trace(poutine.block(model, **lists)).get_trace() if len(name) == 1)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, ""),
        ({"hide": ["x"]}, "pz"),
        ({"hide": []}, "pxz"),
        ({"expose": ["x"]}, "x"),
        ({"expose": []}, ""),
        ({"expose": ["x"], "hide": ["p"]}, "x"),
        ({"hide_types": ["param"]}, "xz"),
        ({"hide_types": ["sample"]}, "pz"),  # latent sites
        ({"hide_types": ["observe"]}, "px"),  # observed ones
        ({"expose_types": ["sample"]}, "x"),
        ({"expose_types": ["sample", "observe"]}, "xz"),
        ({"expose": ["x"], "hide_types": ["param"]}, "xz"),
        ({"hide": ["x"], "expose_types": ["sample", "param"]}, "p"),
        ({"hide": ["x"], "hide_types": ["param"]}, "z"),
        ({"expose_all": True}, "pxz"),
        ({"hide_all": False, "expose_all": True, "hide": ["p"]}, "xz"),
        ({"hide_fn": lambda msg: msg["type"] == "param"}, "xz"),
        ({"expose_fn": lambda msg: msg["type"] == "param"}, "p"),
    ],
)
def test_which_sites_are_hidden(lists, expected):
    assert seen(**lists) == expected


def test_as_decorator_and_context_manager():
    @poutine.block(hide=["x"])
    def decorated():
        return model()

    def inside():
        with poutine.block(hide=["x"]) as block:
            assert isinstance(block, BlockMessenger)
            return model()

    for form in (decorated, inside):
        assert list(poutine.trace(form).get_trace()) == ["_INPUT", "p", "z", "_RETURN"]


@pytest.mark.parametrize(
    "lists",
    [
        {"hide": ["x"], "expose": ["x"]},
        {"hide_types": ["param"], "expose_types": ["param"]},
        {"hide_fn": len, "expose_fn": len},
    ],
)
def test_contradictions_are_refused(lists):
    with pytest.raises(AssertionError):
        poutine.block(model, **lists)


def test_outer_handlers_neither_see_nor_change_hidden_sites():
    inside = poutine.trace(model)
    outside = poutine.condition(poutine.block(inside, hide=["x"]), data={"x": torch.tensor(9.0)})
    assert poutine.trace(outside).get_trace().nodes.keys() == {"_INPUT", "p", "z", "_RETURN"}
    assert not inside.trace.nodes["x"]["is_observed"]
    within = poutine.trace(poutine.block(poutine.condition(model, data={"x": torch.tensor(9.0)}), expose=["x"]))
    assert within.get_trace().nodes["x"]["is_observed"]


def test_escape_leaves_the_run_at_a_site():
    handler = poutine.escape(model, escape_fn=lambda msg: msg["name"] == "x")
    assert isinstance(handler.msngr, EscapeMessenger)
    with poutine.trace() as trace:
        with pytest.raises(poutine.NonlocalExit) as caught:
            handler()
        assert list(_PYRO_STACK) == [trace]
        assert list(trace.trace) == ["p"]
        caught.value.reset_stack()
        assert list(trace.trace) == []
    site = caught.value.site
    assert (site["name"], site["done"], site["stop"], site["value"]) == ("x", True, True, None)
    assert poutine.escape(model, escape_fn=lambda msg: False)() == 1


def test_an_error_of_the_predicate_leaves_a_clean_stack():
    with pytest.raises(UsageError):
        poutine.block(model, hide_fn=lambda msg: (_ for _ in ()).throw(UsageError("no")))()
    assert not _PYRO_STACK
