"""`trace`: what is recorded, in every form; dense edges; the explanation of a model's errors."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import ParameterError, SupportError
from pyroxene.poutine.handlers import TraceHandler, TraceMessenger, identify_dense_edges

NORMAL = dist.Normal(0.0, 1.0)


def model(a, b=1):
    pyroxene.param("w", torch.ones(()))
    return pyroxene.sample("x", NORMAL) * a + b


def test_the_result_and_the_arguments_are_recorded():
    handler = poutine.trace(model)
    trace = handler.get_trace(2, b=3)
    assert isinstance(handler, TraceHandler) and isinstance(handler.msngr, TraceMessenger)
    assert trace.nodes["_INPUT"] == {"name": "_INPUT", "type": "args", "args": (2,), "kwargs": {"b": 3}}
    assert trace.nodes["_RETURN"]["value"] == trace.nodes["x"]["value"] * 2 + 3
    assert handler(0, b=5) == 5
    assert handler.trace is not trace and handler.trace.nodes["_RETURN"]["value"] == 5


def test_as_decorator_and_context_manager():
    @poutine.trace(graph_type="dense")
    def decorated():
        return model(1)

    assert decorated.get_trace().graph_type == "dense"
    with poutine.trace() as messenger:
        model(1)
    assert list(messenger.trace.nodes) == ["w", "x"]
    copied = messenger.get_trace()
    assert copied is not messenger.trace and list(copied.nodes) == ["w", "x"]


def test_only_params():
    assert list(poutine.trace(model, param_only=True).get_trace(1).nodes) == ["w"]


def test_nested_traces_have_sites_of_their_own():
    inner = poutine.trace(model)
    outer = poutine.trace(inner).get_trace(1)
    outer.nodes["x"]["value"] = None
    assert inner.trace.nodes["x"]["value"] is not None


def test_sites_may_ask_not_to_be_traced():
    trace = poutine.trace(lambda: pyroxene.sample("x", NORMAL, infer={"_do_not_trace": True})).get_trace()
    assert "x" not in trace


def test_a_subclass_that_adds_to_the_record():
    class Marking(TraceMessenger):
        def _pyro_post_sample(self, msg):
            super()._pyro_post_sample(msg)
            self.trace.nodes[msg["name"]]["marked"] = True

    with Marking() as messenger:
        model(1)
    assert messenger.trace.nodes["x"]["marked"] and "marked" not in messenger.trace.nodes["w"]


def dense():
    a = pyroxene.sample("a", NORMAL)
    for i in pyroxene.plate("s", 2):
        pyroxene.sample(f"b{i}", dist.Normal(a, 1.0))
        pyroxene.sample(f"c{i}", dist.Normal(a, 1.0))
    with pyroxene.plate("v", 2):
        pyroxene.sample("d", NORMAL)
        pyroxene.param("w", torch.ones(1))
        pyroxene.sample("e", NORMAL, obs=torch.zeros(2))


def test_dense_edges():
    trace = poutine.trace(dense, graph_type="dense").get_trace()
    order = ["a", "b0", "c0", "b1", "c1", "d", "e"]
    independent = {(f"{x}0", f"{y}1") for x in "bc" for y in "bc"}
    pairs = {(one, other) for i, one in enumerate(order) for other in order[i + 1 :]}
    assert set(trace.edges) == pairs - independent
    flat = poutine.trace(dense).get_trace()
    assert set(flat.edges) == set()
    identify_dense_edges(flat)
    assert set(flat.edges) == pairs - independent
    position = {name: i for i, name in enumerate(trace.topological_sort())}
    assert position.keys() == trace.nodes.keys() and all(position[one] < position[other] for one, other in trace.edges)


def test_what_was_recorded_stays_after_an_error():
    handler = poutine.trace(lambda: (pyroxene.sample("x", NORMAL), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        handler()
    assert list(handler.trace.nodes) == ["_INPUT", "x"]


# errors -------------------------------------------------------------------------------------------------------------


class OwnError(ValueError):
    pass


def failing(error):
    def model():
        pyroxene.sample("a", NORMAL)
        raise error

    return model


@pytest.mark.parametrize("error", [ValueError("mine"), OwnError("mine"), RuntimeError("mine")])
def test_shapes_are_added_once_and_the_error_stays_itself(error):
    with pytest.raises(type(error)) as caught:
        poutine.trace(poutine.trace(failing(error)))()
    assert caught.value is error
    assert str(error).startswith("mine\nTrace Shapes:") and str(error).count("Trace Shapes:") == 1
    assert "a dist |" in str(error)


@pytest.mark.parametrize("error", [KeyError("mine"), ValueError("two", "arguments"), ZeroDivisionError("mine")])
def test_other_errors_are_left_alone(error):
    before = error.args
    with pytest.raises(type(error)):
        poutine.trace(failing(error))()
    assert error.args == before


def test_a_bad_parameter_is_reported_with_site_plate_and_line():
    def model():
        pyroxene.sample("a", NORMAL)
        with pyroxene.plate("rows", 3):
            pyroxene.sample("bad", dist.Normal(0.0, torch.tensor([1.0, -1.0, 1.0])))

    with pytest.raises(ValueError) as caught:
        poutine.trace(model)()
    error = caught.value
    assert type(error) is ParameterError and type(error.__cause__) is ValueError
    assert (error.site, error.plate) == ("bad", "rows")
    assert "test_record.py" in error.source[0] and error.source[2] == "model"
    assert "GreaterThan" in str(error) and "softplus" in str(error) and str(error).count("Trace Shapes:") == 1


def test_a_nan_parameter_has_a_hint_of_its_own():
    with pytest.raises(ParameterError, match="a NaN was computed before"):
        poutine.trace(lambda: pyroxene.sample("x", dist.Normal(torch.tensor(float("nan")), 1.0)))()


def test_a_value_outside_the_support():
    with pytest.raises(SupportError, match="coding and units"):
        poutine.trace(lambda: dist.Bernoulli(0.5).log_prob(torch.tensor(2.0)))()
