"""Traces: nodes, edges, densities, packing, errors."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import DuplicateSiteError, ShapeError, SupportError
from pyroxene.poutine.trace_struct import Trace


def model():
    p = pyroxene.param("p", torch.tensor(1.0), constraint=dist.constraints.positive)
    x = pyroxene.sample("x", dist.Normal(0.0, p))
    with pyroxene.plate("pl", 3):
        y = pyroxene.sample("y", dist.Normal(x, 1.0))
        k = pyroxene.sample("k", dist.Bernoulli(0.5))
        pyroxene.sample("z", dist.Normal(y + k, 1.0), obs=torch.arange(3.0))
    return x


def get_trace(fn=model, **kwargs):
    return poutine.trace(fn, **kwargs).get_trace()


# nodes --------------------------------------------------------------------------------------------------------------


def test_a_trace_is_a_dictionary_in_order_of_execution():
    trace = get_trace()
    assert list(trace) == list(trace.nodes) == ["_INPUT", "p", "x", "pl", "y", "k", "z", "_RETURN"]
    assert len(trace) == 8 and "x" in trace and "q" not in trace


def test_which_sites():
    trace = get_trace()
    assert trace.param_nodes == ["p"]
    assert trace.observation_nodes == ["z"]
    assert trace.stochastic_nodes == ["x", "pl", "y", "k"]
    assert trace.reparameterized_nodes == ["x", "y"]
    assert trace.nonreparam_stochastic_nodes == ["pl", "k"]
    assert [name for name, _ in trace.iter_stochastic_nodes()] == ["x", "y", "k"]


@pytest.mark.parametrize("second", ["sample", "param"])
@pytest.mark.parametrize("first", ["sample", "param"])
def test_only_parameters_may_repeat(first, second):
    act = {
        "sample": lambda: pyroxene.sample("n", dist.Normal(0.0, 1.0)),
        "param": lambda: pyroxene.param("n", torch.ones(1)),
    }

    def twice():
        act[first]()
        act[second]()

    if first == second == "param":
        assert list(get_trace(twice).nodes) == ["_INPUT", "n", "_RETURN"]
        return
    says = "Multiple sample sites named 'n'" if first == second else f"'n' is a {first} site and now a {second} site"
    with pytest.raises(RuntimeError, match=says) as caught:
        get_trace(twice)
    assert isinstance(caught.value, DuplicateSiteError)
    assert caught.value.site == "n" and caught.value.hint and "test_trace_struct.py" in str(caught.value)


def test_a_copy_has_sites_and_edges_of_its_own():
    trace = get_trace(graph_type="dense")
    new = trace.copy()
    new.nodes["x"]["value"] = None
    new.remove_node("y")
    assert trace.nodes["x"]["value"] is not None
    assert ("x", "y") in set(trace.edges) and not any("y" in edge for edge in new.edges)
    assert new.graph_type == "dense"


def test_pickle_and_deepcopy():
    def plain():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        with pyroxene.plate("p", 5, 2) as i:
            pyroxene.sample("y", dist.Normal(x, 1.0), obs=torch.arange(5.0)[i])

    trace = get_trace(plain, graph_type="dense")
    trace.compute_log_prob()
    for new in (copy.deepcopy(trace), pickle.loads(pickle.dumps(trace))):
        assert list(new.nodes) == list(trace.nodes) and set(new.edges) == {("x", "y")}
        assert new.nodes["x"]["value"] is not trace.nodes["x"]["value"]
        assert new.log_prob_sum() == trace.log_prob_sum()
        assert new.nodes["y"]["cond_indep_stack"] == trace.nodes["y"]["cond_indep_stack"]


def test_detach():
    loc = torch.tensor(1.0, requires_grad=True)
    trace = get_trace(lambda: pyroxene.sample("x", dist.Normal(loc, 1.0)))
    assert trace.nodes["x"]["value"].requires_grad
    trace.detach_()
    assert not trace.nodes["x"]["value"].requires_grad


# the graph ----------------------------------------------------------------------------------------------------------


def test_edges_of_a_trace_built_by_hand():
    trace = Trace(graph_type="dense")
    trace.add_node("a", name="a", type="sample")
    trace.add_edge("a", "b")
    trace.add_edge("b", "c")
    assert set(trace.edges) == {("a", "b"), ("b", "c")} and trace.nodes["c"] == {}
    assert trace.successors("a") == {"b"} and trace.predecessors("a") == set() and trace.predecessors("c") == {"b"}
    trace.remove_node("b")
    assert set(trace.edges) == set() and trace.successors("a") == set()
    with pytest.raises(KeyError):
        trace.remove_node("b")


def test_topological_sort():
    trace = Trace()
    for edge in ("dc", "cb", "ba", "ca"):
        trace.add_edge(*edge)
    assert trace.topological_sort() == ["d", "c", "b", "a"]
    assert trace.topological_sort(reverse=True) == ["a", "b", "c", "d"]


def test_topological_sort_of_a_long_dense_trace():
    trace = Trace("dense")
    for i in range(3000):
        trace.add_edge(f"{i}", f"{i + 1}")
    assert trace.topological_sort() == [str(i) for i in range(3001)]


def test_unknown_graph_type():
    with pytest.raises(AssertionError, match="graph_type"):
        Trace("sparse")


# densities ----------------------------------------------------------------------------------------------------------


def test_log_prob_sum_is_the_sum_of_scaled_and_masked_densities():
    normal = dist.Normal(torch.zeros(3), 1.0)

    def weighed():
        with poutine.scale(scale=2.0), poutine.mask(mask=torch.tensor([True, False, True])):
            pyroxene.sample("x", normal, obs=torch.tensor([1.0, float("inf"), 2.0]))
        with poutine.mask(mask=False):
            pyroxene.sample("y", normal, obs=torch.ones(3))
        pyroxene.factor("f", torch.tensor(0.5))

    with pyroxene.validation_enabled(False):
        trace = get_trace(weighed)
        trace.compute_log_prob()
    expected = normal.log_prob(torch.tensor([1.0, 0.0, 2.0])) * 2 * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], expected)
    torch.testing.assert_close(trace.nodes["x"]["unscaled_log_prob"][::2], expected[::2] / 2)
    assert trace.nodes["y"]["log_prob_sum"] == 0
    torch.testing.assert_close(trace.log_prob_sum(), expected.sum() + 0.5)


def test_site_filter():
    trace = get_trace()
    z = dist.Normal(trace.nodes["y"]["value"] + trace.nodes["k"]["value"], 1.0).log_prob(torch.arange(3.0)).sum()
    torch.testing.assert_close(trace.log_prob_sum(lambda name, site: site["is_observed"]), z)
    trace = get_trace()
    trace.compute_log_prob(lambda name, site: name == "x")
    assert [name for name, site in trace.nodes.items() if "log_prob" in site] == ["x"]
    assert get_trace(lambda: None).log_prob_sum() == 0.0


def test_score_parts():
    trace = get_trace()
    trace.compute_score_parts()
    for name, reparametrised in (("x", True), ("y", True), ("k", False), ("z", True)):
        site = trace.nodes[name]
        log_prob, score, entropy = site["score_parts"]
        torch.testing.assert_close(log_prob, site["fn"].log_prob(site["value"]))
        assert (entropy if reparametrised else score) is log_prob
        assert (score if reparametrised else entropy) == 0
        torch.testing.assert_close(site["log_prob_sum"], log_prob.sum())


@pytest.mark.parametrize(
    ("fn", "obs", "error", "says"),
    [
        (dist.Bernoulli(0.5), torch.tensor(3.0), SupportError, "expected: a value in Boolean"),
        (dist.Normal(0.0, 1.0), torch.tensor(float("nan")), SupportError, "impute"),
        (dist.Normal(torch.zeros(3), 1.0), torch.zeros(4), ShapeError, "broadcasts with"),
        (dist.Normal(0.0, 1.0), 1.0, SupportError, "as_tensor"),
    ],
)
def test_a_failing_density_names_the_site_and_shows_the_shapes(fn, obs, error, says):
    trace = get_trace(lambda: pyroxene.sample("bad", fn, obs=obs))
    for compute in (trace.compute_log_prob, trace.compute_score_parts, trace.log_prob_sum):
        with pytest.raises(ValueError, match="Error while computing log_prob at site 'bad'") as caught:
            compute()
        assert type(caught.value) is error and says in str(caught.value)
        assert "Trace Shapes:" in str(caught.value) and isinstance(caught.value.__cause__, ValueError)


# symbols ------------------------------------------------------------------------------------------------------------


def test_plates_bear_even_symbols_and_enumerated_sites_odd_ones():
    infer = {"enumerate": "parallel"}

    def discrete():
        with pyroxene.plate("p", 2, dim=-1):
            a = pyroxene.sample("a", dist.Bernoulli(0.3), infer=infer)
            b = pyroxene.sample("b", dist.Categorical(torch.ones(3) / 3), infer=infer)
            pyroxene.sample("o", dist.Normal(a + b, 1.0), obs=torch.zeros(2))
        pyroxene.sample("c", dist.Bernoulli(0.2), infer=infer)

    trace = get_trace(poutine.enum(discrete, first_available_dim=-2))
    trace.compute_log_prob()
    trace.pack_tensors()
    assert trace.plate_to_symbol == {"p": "a"}
    assert trace.symbol_to_dim == {"a": -1, "b": -2, "d": -3, "f": -4}
    packed = {name: site["packed"]["log_prob"] for name, site in trace.nodes.items() if site["type"] == "sample"}
    assert {name: value._pyro_dims for name, value in packed.items()} == {
        "p": "", "a": "ba", "b": "da", "o": "dba", "c": "f",
    }  # fmt: skip
    assert packed["o"].shape == (3, 2, 2)
    assert [trace.nodes[name]["infer"].get("_enumerate_symbol") for name in "abco"] == ["b", "d", "f", None]
    assert trace.nodes["o"]["infer"]["_dim_to_symbol"] == {-1: "a", -2: "b", -3: "d"}


def test_symbols_may_be_shared_with_another_trace():
    given = {"other": "a"}
    trace = get_trace()
    trace.symbolize_dims(given)
    assert trace.plate_to_symbol == {"other": "a", "pl": "c"} and given == {"other": "a"}


def test_packing_score_parts_and_masks():
    mask = torch.tensor([True, False, True])
    trace = get_trace(lambda: pyroxene.plate("pl", 3)(poutine.mask(bernoulli, mask=mask))())
    trace.compute_score_parts()
    trace.pack_tensors()
    packed = trace.nodes["y"]["packed"]
    assert packed["mask"]._pyro_dims == packed["log_prob"]._pyro_dims == "a"
    assert packed["score_parts"].log_prob is packed["log_prob"]
    assert packed["unscaled_log_prob"].shape == (3,)


def bernoulli():
    return pyroxene.sample("y", dist.Bernoulli(0.5))


def test_packing_an_undeclared_batch_dimension():
    trace = get_trace(lambda: pyroxene.sample("y", dist.Normal(torch.zeros(3), 1.0)))
    trace.compute_log_prob()
    with pytest.raises(ShapeError, match="Error while packing tensors at site 'y'") as caught:
        trace.pack_tensors()
    assert "actual shape: (3,)" in str(caught.value)
