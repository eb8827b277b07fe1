"""The run in progress: messages, the stack and its list view, dimensions, isolation of threads and tasks."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import PlateError, UsageError
from pyroxene.poutine import runtime
from pyroxene.poutine.message import CondIndepStackFrame
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.runtime import _DIM_ALLOCATOR, _PYRO_STACK, InferDict, Message, NonlocalExit

NORMAL = dist.Normal(0.0, 1.0)


def message(**changes):
    return runtime.new_message("mine", "x", lambda value: value + 1, (1,)) | changes


def test_apply_stack_acts_and_calls_the_continuation_last():
    seen = []
    result = runtime.apply_stack(message(continuation=lambda msg: seen.append(msg["value"])))
    assert (result["value"], result["done"], seen) == (2, True, [2])


@pytest.mark.parametrize("given", [{"value": 7}, {"value": 7, "is_observed": True}, {"value": 7, "done": True}])
def test_the_default_action_leaves_a_value_alone(given):
    msg: Message = message(**given)
    runtime.default_process_message(msg)
    assert (msg["value"], msg["done"]) == (7, True)


def test_an_observation_without_a_value_is_refused():
    infer: InferDict = {"is_observed": True}
    with pytest.raises(AssertionError, match="'x' is observed, but has no value"), poutine.trace():
        pyroxene.sample("x", NORMAL, infer=infer)


def test_messages_pass_inner_handlers_first_and_stop_where_told():
    seen = []

    class Tell(Messenger):
        def __init__(self, name, stop=False):
            super().__init__()
            self.name, self.stop = name, stop

        def _pyro_sample(self, msg):
            seen.append(self.name)
            msg["stop"] = self.stop

        def _pyro_post_sample(self, msg):
            seen.append(self.name.upper())

    with Tell("a"), Tell("b", stop=True), Tell("c"):
        pyroxene.sample("x", NORMAL)
    assert seen == ["c", "b", "B", "C"]


def test_effectful_makes_statements_of_a_type_of_one_s_own():
    @runtime.effectful(type="shout")
    def shout(text, times=1):
        return text * times

    class Louder(Messenger):
        def _pyro_shout(self, msg):
            msg["args"] = (msg["args"][0].upper(),)
            self.seen = msg["name"], msg["kwargs"], msg["infer"], msg["is_observed"]

        def _pyro_post_shout(self, msg):
            msg["value"] += "!"

    assert shout("ab", times=2) == "abab"
    with Louder() as louder:
        assert shout("ab", times=2, name="n", infer={"k": 1}) == "ABAB!"
        assert louder.seen == ("n", {"times": 2}, {"k": 1}, False)
        assert shout("ab", obs="cd") == "cd!"
        assert louder.seen[3] is True
    assert runtime.effectful(shout, type="other") is shout
    with pytest.raises(AssertionError, match="message type"):
        runtime.effectful(len)


def test_get_mask_and_get_plates_see_what_a_site_would():
    def model():
        seen = [(runtime.get_mask(), len(runtime.get_plates()))]
        with poutine.mask(mask=torch.tensor([True, False])), poutine.mask(mask=True), pyroxene.plate("p", 10, 2):
            seen.append((runtime.get_mask().tolist(), runtime.get_plates()))
        with poutine.mask(mask=False), poutine.block():
            seen.append((runtime.get_mask(), runtime.get_plates()))
        for _ in pyroxene.plate("s", 2):
            seen.append((runtime.get_mask(), runtime.get_plates()[0].counter))
        return seen

    expected = [(None, 0), ([True, False], (CondIndepStackFrame("p", -1, 2, 0, 10),)), (None, ()), (None, 1), (None, 2)]
    assert model() == expected
    trace = poutine.trace(model).get_trace()
    assert trace.nodes["_RETURN"]["value"] == expected
    assert set(trace.nodes) == {"_INPUT", "_RETURN", "p", "s"}


def test_am_i_wrapped():
    assert not runtime.am_i_wrapped()
    with poutine.block():
        assert runtime.am_i_wrapped()


# the list view ------------------------------------------------------------------------------------------------------


def test_the_stack_can_be_read_and_patched_like_a_list():
    first, second = Messenger(), poutine.block()
    with first, second:
        assert len(_PYRO_STACK) == 2
        assert _PYRO_STACK[-1] is second and _PYRO_STACK[:1] == [first] and list(_PYRO_STACK) == [first, second]
        assert first in _PYRO_STACK and _PYRO_STACK.index(second) == 1
        assert list(reversed(_PYRO_STACK)) == [second, first] == _PYRO_STACK[::-1]
        assert _PYRO_STACK == [first, second] and "BlockMessenger" in repr(_PYRO_STACK)
        _PYRO_STACK.remove(first)
        _PYRO_STACK.insert(0, first)
        _PYRO_STACK[:] = [second]
        assert list(_PYRO_STACK) == [second]
        _PYRO_STACK[0] = first
        assert _PYRO_STACK.pop() is first and len(_PYRO_STACK) == 0
        _PYRO_STACK.extend([first, second])


def test_a_handler_pushed_onto_the_stack_is_in_force():
    trace = poutine.trace()
    trace.__enter__()
    _PYRO_STACK.pop()
    _PYRO_STACK.append(trace)
    pyroxene.sample("x", NORMAL)
    del _PYRO_STACK[-1]
    assert list(trace.trace.nodes) == ["x"]


# dimensions ---------------------------------------------------------------------------------------------------------


def test_dimensions_are_given_from_the_right_and_given_back():
    assert [_DIM_ALLOCATOR.allocate(name, dim) for name, dim in (("a", None), ("b", -3), ("c", None))] == [-1, -3, -2]
    _DIM_ALLOCATOR.free("a", -1)
    assert _DIM_ALLOCATOR.allocate("d", None) == -1
    for name, dim in (("d", -1), ("b", -3), ("c", -2)):
        _DIM_ALLOCATOR.free(name, dim)
    assert runtime._DIMS.get() == ()


@pytest.mark.parametrize(
    ("name", "dim", "says"),
    [("held", None, "already entered"), ("other", -1, "collide"), ("other", 0, "negative")],
)
def test_a_dimension_that_cannot_be_had(name, dim, says):
    _DIM_ALLOCATOR.allocate("held", None)
    try:
        with pytest.raises(PlateError, match=says) as caught:
            _DIM_ALLOCATOR.allocate(name, dim)
    finally:
        _DIM_ALLOCATOR.free("held", -1)
    assert caught.value.expected is not None and caught.value.hint is not None


# leaving halfway ----------------------------------------------------------------------------------------------------


def test_reset_stack_clears_handlers_up_to_the_one_that_hides_the_site():
    inner, outer = poutine.trace(), poutine.trace()
    with outer:
        pyroxene.sample("seen", NORMAL)
        with poutine.block(hide=["x"]), inner:
            pyroxene.sample("y", NORMAL)
            NonlocalExit(message()).reset_stack()
            assert list(inner.trace.nodes) == []
    assert list(outer.trace.nodes) == ["seen", "y"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, NonlocalExit])
def test_an_exception_leaves_a_clean_stack(error):
    def model():
        with pyroxene.plate("p", 3), poutine.scale(scale=2.0):
            for _ in pyroxene.plate("s", 2):
                for _ in pyroxene.markov(range(2)):
                    raise error(message())

    with pytest.raises(error):
        poutine.trace(poutine.enum(model, first_available_dim=-2))()
    assert not _PYRO_STACK and runtime._DIMS.get() == ()


def test_handlers_that_do_not_clean_up_are_swept_away_by_outer_ones():
    with contextlib.suppress(ValueError), poutine.block():
        poutine.trace().__enter__()
        raise ValueError
    assert not _PYRO_STACK


# threads and tasks --------------------------------------------------------------------------------------------------


def test_threads_do_not_see_each_other():
    together = threading.Barrier(2, timeout=20)
    traces = {}

    def run(name):
        def model():
            for step in range(3):
                together.wait()
                with pyroxene.plate(f"{name}_plate_{step}", 2):
                    together.wait()
                    pyroxene.sample(f"{name}{step}", NORMAL)
                    assert len(_PYRO_STACK) == 2

        traces[name] = poutine.trace(model).get_trace()

    with poutine.block():
        threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in "ab":
        sites = [key for key in traces[name].nodes if not key.startswith("_")]
        assert sites == [f"{name}{part}{step}" for step in range(3) for part in ("_plate_", "")]
        assert all(traces[name].nodes[f"{name}{step}"]["fn"].batch_shape == (2,) for step in range(3))


def test_asynchronous_tasks_do_not_see_each_other():
    async def run(name):
        with poutine.trace() as trace, pyroxene.plate(name, 2):
            for step in range(3):
                await asyncio.sleep(0)
                pyroxene.sample(f"{name}{step}", NORMAL)
        return list(trace.trace.nodes)

    async def both():
        return await asyncio.gather(run("a"), run("b"))

    # the plates' indices are drawn when they are made, inside their traces
    assert asyncio.run(both()) == [["a", "a0", "a1", "a2"], ["b", "b0", "b1", "b2"]]


# subsamples of one step ---------------------------------------------------------------------------------------------


def indices(size=100, subsample_size=5, name="p"):
    return pyroxene.plate(name, size, subsample_size).indices.tolist()


def test_subsamples_are_shared_within_a_step():
    assert runtime.shared_subsamples() is None
    with runtime.share_subsamples():
        first = indices()
        with runtime.share_subsamples():
            assert indices() == first
        assert indices() == first
        assert indices(name="q") != first
        with runtime.share_subsamples(isolated=True):
            assert indices() != first
        assert indices() == first
        with pytest.raises(PlateError, match="does not match its first use in this step"):
            indices(subsample_size=6)
    assert indices() != first


def test_shared_subsamples_give_way_to_a_handler():
    given = torch.arange(5)
    with runtime.share_subsamples():
        first = indices()
        with poutine.condition(data={"p": given}):
            assert indices() == given.tolist() != first


def test_usage_errors_are_also_what_pyro_raised():
    assert issubclass(UsageError, ValueError) and issubclass(UsageError, AssertionError)
