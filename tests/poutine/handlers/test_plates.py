"""Plates in every form; indices drawn as pyro-ppl 1.9.2 draws them with the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import EmptyPlateError, PlateError, ShapeError
from pyroxene.poutine import runtime
from pyroxene.poutine.handlers import (
    BroadcastMessenger,
    IndepMessenger,
    PlateMessenger,
    SubsampleMessenger,
    block_plate,
)
from pyroxene.poutine.handlers.plates import _Subsample

NORMAL = dist.Normal(0.0, 1.0)


def draw(name="x", fn=NORMAL):
    return pyroxene.sample(name, fn)


def frames(fn, *names):
    nodes = poutine.trace(fn).get_trace().nodes
    return [[tuple(frame) for frame in nodes[name]["cond_indep_stack"]] for name in names]


@pytest.fixture(autouse=True)
def _dimensions_are_given_back():
    yield
    assert runtime._DIMS.get() == ()


# batch dimensions ---------------------------------------------------------------------------------------------------


def test_a_batch_dimension():
    with pyroxene.plate("p", 3) as indices:
        assert draw().shape == (3,)
        assert draw("y", dist.Normal(torch.zeros(4, 1), 1.0)).shape == (4, 3)
        assert draw("z", dist.MultivariateNormal(torch.zeros(2), torch.eye(2))).shape == (3, 2)
    assert indices.tolist() == [0, 1, 2]


def test_nested_plates_take_dimensions_from_the_right():
    def model():
        with pyroxene.plate("a", 3):
            draw("x")
            with pyroxene.plate("b", 2):
                draw("y")
        with pyroxene.plate("c", 4):
            draw("z")

    a, b, c = (("a", -1, 3, 0, 3), ("b", -2, 2, 0, 2), ("c", -1, 4, 0, 4))
    assert frames(model, "x", "y", "z") == [[a], [a, b], [c]]


def test_explicit_dimensions_and_free_ones_between():
    a, b = pyroxene.plate("a", 3, dim=-3), pyroxene.plate("b", 2, dim=-1)
    with a, b, pyroxene.plate("c", 4):
        assert draw().shape == (3, 4, 2)
    with b, a:
        assert draw("y", NORMAL.expand([5]).to_event(1)).shape == (3, 1, 2, 5)


def test_a_plate_keeps_its_dimension_when_it_is_entered_again():
    a, b = pyroxene.plate("a", 3), pyroxene.plate("b", 2)
    with a, b:
        assert draw().shape == (2, 3)
    assert (a.dim, b.dim) == (-1, -2)
    with b:
        assert draw("y").shape == (2, 1)
    with b, a:
        assert draw("z").shape == (2, 3)
    first, second = pyroxene.plate("first", 3), pyroxene.plate("second", 2)
    with first, pyroxene.plate("other", 2):
        pass
    with pytest.raises(PlateError, match="collide"), second, first:
        pass


def test_a_plate_decorates_a_function():
    @pyroxene.plate("p", 30, 4)
    def rows(name):
        return draw(name)

    assert rows("x").shape == rows("y").shape == (4,)


def test_plate_stack():
    with pyroxene.plate_stack("g", (2, 3)):
        assert draw().shape == (2, 3)
        assert [frame.name for frame in runtime.get_plates()] == ["g_0", "g_1"]
    with pyroxene.plate_stack("g", [2, 3], rightmost_dim=-2):
        assert draw("y").shape == (2, 3, 1)
    with pyroxene.plate_stack("g", ()):
        assert draw("z").shape == ()
    with pytest.raises(AssertionError, match="from the right"), pyroxene.plate_stack("g", (2,), rightmost_dim=0):
        pass


def test_a_plate_of_unknown_size():
    with pyroxene.plate("p") as indices:
        assert draw("x", dist.Normal(torch.zeros(3), 1.0)).shape == (3,)
        assert draw("y").shape == ()
        assert tuple(runtime.get_plates()[0]) == ("p", -1, -1, 0, -1)
    assert indices is None
    with pytest.raises(PlateError, match="no indices"):
        list(pyroxene.plate("p"))


@pytest.mark.parametrize("size", [3, np.int64(3), torch.tensor(3), 3.0])
def test_sizes_of_other_kinds(size):
    with pyroxene.plate("p", size) as indices:
        assert draw().shape == (3,) and len(indices) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"size": 0}, ZeroDivisionError, "empty"),
        ({"size": -2}, EmptyPlateError, "empty"),
        ({"size": 2.5}, PlateError, "no integer"),
        ({"size": [1]}, PlateError, "no integer"),
        ({"size": 3, "subsample_size": 4}, PlateError, "more than it has"),
        ({"size": 3, "subsample_size": 0}, PlateError, "empty"),
        ({"size": 9, "subsample_size": 3, "subsample": [1, 2]}, PlateError, "3 vs 2"),
        ({"subsample_size": 3}, AssertionError, "no size"),
        ({"subsample": [1]}, AssertionError, "no size"),
    ],
)
def test_plates_that_cannot_be(arguments, error, says):
    with pytest.raises(ValueError, match=says) as caught:
        pyroxene.plate("p", **arguments)
    assert isinstance(caught.value, error)
    assert caught.value.plate == "p" and caught.value.hint and caught.value.expected


@pytest.mark.parametrize(
    ("outer", "inner", "says"),
    [
        ({"name": "p", "dim": -1}, {"name": "q", "dim": -1}, "collide"),
        ({"name": "p"}, {"name": "p"}, "already entered"),
        ({"name": "p", "dim": -1}, {"name": "p", "dim": -2}, "already entered"),
        ({"name": "p"}, {"name": "q", "dim": 1}, "negative"),
    ],
)
def test_plates_that_do_not_nest(outer, inner, says):
    with pytest.raises(PlateError, match=says), pyroxene.plate(size=3, **outer), pyroxene.plate(size=3, **inner):
        pass


def test_a_plate_is_not_entered_twice_at_once():
    plate = pyroxene.plate("p", 3)
    with pytest.raises(ValueError, match="already entered"), plate, plate:
        pass


@pytest.mark.parametrize(("loc", "obs"), [(torch.zeros(2), None), (torch.zeros(4, 2), torch.zeros(4, 3))])
def test_a_distribution_that_does_not_fit(loc, obs):
    def model():
        with pyroxene.plate("rows", 3):
            pyroxene.sample("bad", dist.Normal(loc, 1.0), obs=obs)

    with pytest.raises(ValueError, match=r"Shape mismatch inside plate\('rows'\) at site bad dim -1, 3 vs 2") as caught:
        model()
    error = caught.value
    assert type(error) is ShapeError and (error.site, error.plate) == ("bad", "rows") and error.source[2] == "model"


# subsamples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "subsample_size", "expected"),
    [(20, 5, [4, 5, 13, 19, 7]), (10, 3, [4, 1, 7]), (30, 4, [14, 13, 23, 27]), (5, 5, [0, 1, 2, 3, 4])],
)
def test_indices_are_drawn_as_pyro_draws_them(size, subsample_size, expected):
    pyroxene.set_rng_seed(0)
    with pyroxene.plate("p", size, subsample_size) as indices:
        assert indices.tolist() == expected
        after = torch.rand(1)
    pyroxene.set_rng_seed(0)
    if subsample_size < size:
        torch.randperm(size)
    assert torch.rand(1) == after


def test_a_subsample_scales_log_densities():
    def model():
        with pyroxene.plate("p", 10, 5), pyroxene.plate("q", 9, 3), poutine.scale(scale=2.0):
            draw()

    trace = poutine.trace(model).get_trace()
    assert trace.nodes["x"]["scale"] == 12.0
    assert [tuple(frame) for frame in trace.nodes["x"]["cond_indep_stack"]] == [("p", -1, 5, 0, 10), ("q", -2, 3, 0, 9)]
    assert isinstance(trace.nodes["p"]["fn"], _Subsample) and trace.nodes["p"]["scale"] == 1.0
    assert len(trace.nodes["p"]["value"]) == 5


def test_one_plate_has_one_subsample():
    plate = pyroxene.plate("p", 100, 3)
    with plate as first:
        pass
    with plate as second:
        pass
    assert first is second is plate.indices
    assert plate.subsample_size == 3 and plate.size == 100


@pytest.mark.parametrize("given", [torch.tensor([3, 4]), [3, 4], (3, 4), range(3, 5), np.array([3, 4])])
def test_a_given_subsample(given):
    def model():
        with pyroxene.plate("p", 20, subsample=given) as indices:
            draw()
            full = torch.arange(20.0)
            cut = pyroxene.subsample(full, event_dim=0), pyroxene.param("w", full, event_dim=0)
        return indices, cut

    trace = poutine.trace(model).get_trace()
    indices, cut = trace.nodes["_RETURN"]["value"]
    assert indices is given and [value.tolist() for value in cut] == [[3, 4], [3, 4]]
    assert trace.nodes["p"]["value"].tolist() == [3, 4]
    assert trace.nodes["x"]["scale"] == 10.0 and trace.nodes["x"]["fn"].batch_shape == (2,)


def test_handlers_decide_about_subsamples():
    def model(subsample=None):
        with pyroxene.plate("p", 20, 2, subsample=subsample) as indices:
            return indices.tolist()

    other = torch.tensor([5, 6])
    for subsample in (None, torch.tensor([3, 4])):
        assert poutine.condition(model, data={"p": other})(subsample) == [5, 6]
        recorded = poutine.trace(model).get_trace(other)
        assert poutine.replay(model, trace=recorded)(subsample) == [5, 6]
    with pytest.raises(PlateError, match="another in the model than in the guide"):
        poutine.condition(model, data={"p": torch.tensor([5])})()


def test_full_size_tensors_are_cut():
    def model():
        with pyroxene.plate("q", 6, 3, dim=-2) as rows, pyroxene.plate("p", 10, 5, dim=-1) as columns:
            full = torch.arange(60.0).reshape(6, 10)
            both = pyroxene.subsample(full, event_dim=0)
            assert (both == full[rows][:, columns]).all()
            assert (pyroxene.subsample(full[:, :1], event_dim=0) == full[:, :1][rows]).all()
            event = torch.arange(20.0).reshape(10, 2)
            assert (pyroxene.subsample(event, event_dim=1) == event[columns]).all()
            value = pyroxene.param("w", full + 1, constraint=dist.constraints.positive, event_dim=0)
            torch.testing.assert_close(value, both + 1)
            assert value.unconstrained().shape == (6, 10)
            assert pyroxene.param("whole", full).shape == (6, 10)

    model()
    pyroxene.clear_param_store()
    recorded = poutine.trace(model).get_trace().nodes["w"]["value"]
    assert recorded.shape == (6, 10)  # what the statement had before the plates, which are inside of the trace, cut it


@pytest.mark.parametrize("size", [7, 3])
def test_tensors_that_do_not_fit_a_subsampled_plate(size):
    with pyroxene.plate("p", 10, 3):
        for cut in (pyroxene.subsample, lambda value, event_dim: pyroxene.param("w", value, event_dim=event_dim)):
            with pytest.raises(PlateError, match=f"expected: size 10.*\n  got: size {size} of shape") as caught:
                cut(torch.zeros(size), event_dim=0)
            assert caught.value.plate == "p"


def test_loops_do_not_cut():
    for _ in pyroxene.plate("p", 10, 3):
        assert pyroxene.subsample(torch.arange(10.0), event_dim=0).shape == (10,)


# loops --------------------------------------------------------------------------------------------------------------


def test_a_loop_counts():
    def model():
        return [(i, draw(f"x{i}").shape) for i in pyroxene.plate("p", 3)]

    assert frames(model, "x0", "x1", "x2") == [[("p", None, 3, counter, 3)] for counter in (1, 2, 3)]
    assert model() == [(0, ()), (1, ()), (2, ())]


def test_a_subsampled_loop():
    pyroxene.set_rng_seed(0)

    def model():
        for i in pyroxene.plate("p", 10, 3):
            assert type(i) is int
            draw(f"x{i}")

    trace = poutine.trace(model).get_trace()
    assert list(trace.nodes)[1:-1] == ["p", "x4", "x1", "x7"] and trace.nodes["x4"]["scale"] == 10 / 3


def test_batch_dimensions_in_loops_and_loops_in_batch_dimensions():
    def model():
        inner = pyroxene.plate("inner", 3)
        for i in pyroxene.plate("loop", 2):
            with inner:
                draw(f"x{i}")
            with pyroxene.plate(f"own{i}", 4):
                draw(f"y{i}")
        with pyroxene.plate("outer", 2):
            for j in pyroxene.plate("last", 2):
                draw(f"z{j}")

    assert frames(model, "x1", "y1", "z1") == [
        [("loop", None, 2, 2, 2), ("inner", -1, 3, 0, 3)],
        [("loop", None, 2, 2, 2), ("own1", -1, 4, 0, 4)],
        [("outer", -1, 2, 0, 2), ("last", None, 2, 2, 2)],
    ]


def test_a_loop_may_run_again():
    plate = pyroxene.plate("p", 2)
    assert [list(plate), list(plate)] == [[0, 1], [0, 1]]


def test_a_loop_that_is_left_early_leaves_a_clean_stack():
    def leave(how):
        for i in pyroxene.plate("p", 3):
            if i == 1:
                how()
                return

    for how in (lambda: None, lambda: 1 / 0):
        try:
            leave(how)
        except ZeroDivisionError:
            pass
        assert not runtime._PYRO_STACK and runtime._DIMS.get() == ()
    generator = iter(pyroxene.plate("p", 3))
    next(generator)
    assert len(runtime._PYRO_STACK) == 1
    generator.close()
    assert not runtime._PYRO_STACK


@pytest.mark.parametrize("dim", [None, -1])
def test_a_plate_is_a_dimension_or_a_loop(dim):
    plate = pyroxene.plate("p", 2, dim=dim)
    with plate:
        pass
    with pytest.raises(PlateError, match="both as a batch dimension and as a loop"):
        list(plate)


def test_an_error_inside_a_plate_gives_the_dimension_back():
    plate = pyroxene.plate("p", 3)
    with pytest.raises(KeyError), plate:
        raise KeyError
    with pyroxene.plate("q", 2):
        assert draw().shape == (2,)


# the classes --------------------------------------------------------------------------------------------------------


def test_block_plate():
    with pyroxene.plate("a", 3), pyroxene.plate("b", 2):
        with block_plate("a"):
            assert draw("x").shape == (2, 1)
        with block_plate(dim=-2):
            assert draw("y").shape == (3,)
        with block_plate("c", strict=False), block_plate(name="b"), block_plate(dim=-1):
            assert draw("z").shape == ()
        assert draw("w").shape == (2, 3)
        for arguments, says in (({"name": "c"}, "no active plate"), ({}, "name or dim"), ({"dim": 0}, "right")):
            with pytest.raises(ValueError, match=says), block_plate(**arguments):
                pass


def test_indep_messenger_neither_draws_nor_expands():
    def model():
        with IndepMessenger("a", 3) as plate:
            draw("x")
            draw("y", dist.Normal(torch.zeros(3), 1.0))
        for i in IndepMessenger("c", 2):
            draw(f"z{i}")
        return plate

    trace = poutine.trace(model).get_trace()
    assert "a" not in trace and trace.nodes["x"]["value"].shape == ()
    assert tuple(trace.nodes["y"]["cond_indep_stack"][0]) == ("a", -1, 3, 0, None)
    assert trace.nodes["z1"]["cond_indep_stack"][0].counter == 2
    assert trace.nodes["_RETURN"]["value"].indices.tolist() == [0, 1, 2]
    assert poutine.trace(poutine.broadcast(model)).get_trace().nodes["x"]["value"].shape == (3,)
    with pytest.raises(ZeroDivisionError):
        IndepMessenger("a", 0)


def test_subsample_messenger_draws_but_does_not_expand():
    def model():
        with SubsampleMessenger("a", 10, 3) as plate:
            draw("x")
        return plate

    trace = poutine.trace(model).get_trace()
    assert trace.nodes["x"]["value"].shape == () and trace.nodes["x"]["scale"] == 10 / 3
    assert isinstance(trace.nodes["_RETURN"]["value"], SubsampleMessenger)
    assert issubclass(pyroxene.plate, PlateMessenger)


def test_broadcast_as_decorator_and_context_manager():
    @poutine.broadcast
    def wrapped():
        with IndepMessenger("a", 3):
            return draw("x", dist.Normal(torch.zeros(2, 1), 1.0))

    assert wrapped().shape == (2, 3)
    with IndepMessenger("a", 3):
        with poutine.broadcast() as messenger:
            assert draw("y").shape == () and isinstance(messenger, BroadcastMessenger)
    with poutine.broadcast(), IndepMessenger("a", 3):
        assert draw("y").shape == (3,)


def test_the_distribution_of_indices():
    fn = _Subsample(5, 2)
    assert fn().shape == (2,) and fn.log_prob(fn()) == 0
    with pytest.raises(ValueError, match="one set at a time"):
        fn.sample((3,))
    assert _Subsample(4, None, device="cpu").sample().tolist() == [0, 1, 2, 3]
