from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import MissingPackageError, UsageError
from pyroxene.infer import inspect, render
from pyroxene.infer.inspect import (
    _deep_merge,
    generate_graph_specification,
    get_dependencies,
    get_model_relations,
    render_graph,
    render_model,
)
from pyroxene.infer.render import separate_plates
from pyroxene.nn import PyroModule, PyroParam, PyroSample
from pyroxene.ops.provenance import get_provenance

graphviz = pytest.importorskip("graphviz")

HERE = Path(__file__).parent
MODELS = runpy.run_path(str(HERE / "inspect_models.py"))
ZOO = MODELS["zoo"](pyroxene, dist)
EXPECTED = json.loads((HERE / "inspect_expected.json").read_text())


@pytest.fixture(autouse=True)
def _fresh_store():
    pyroxene.clear_param_store()
    yield
    pyroxene.clear_param_store()


def normal(loc=0.0, scale=1.0):
    return dist.Normal(loc, scale)


def coin_and_data(y=None):
    z = pyroxene.sample("z", normal())
    with pyroxene.plate("rows", 3):
        pyroxene.sample("y", normal(z), obs=y)


# equality with pyro-ppl ----------------------------------------------------------------------------------------------


def test_the_expectations_cover_the_models():
    assert set(EXPECTED) == set(ZOO)
    assert len(ZOO) >= 50


@pytest.mark.parametrize("name", sorted(ZOO))
def test_dependencies_relations_and_drawing_equal_pyros(name):
    expected = EXPECTED[name]
    found = json.loads(json.dumps(MODELS["describe"](pyroxene, inspect, *ZOO[name])))
    assert found["dependencies"] == expected["dependencies"]
    assert found["relations"] == expected["relations"]
    for ours, theirs in zip(found["graphs"], expected["graphs"]):
        if name == "overlapping_same_size_order":  # see test_a_plate_lies_in_the_smallest_plate_that_contains_it
            ours["plates"]["q"][0] = theirs["plates"]["q"][0] = None
            assert ours["plates"].pop("r") == ["p", ["a", "y"]]
            assert theirs["plates"].pop("r") == ["p", ["a", "y"]]
        assert ours == theirs


def test_lists_in_relations_follow_the_order_of_the_program():
    relations = get_model_relations(ZOO["names_in_any_order"][0])
    assert relations["sample_sample"]["m"] == ["z", "b", "a"]


# what Pyro gets wrong ------------------------------------------------------------------------------------------------


def test_a_plate_lies_in_the_smallest_plate_that_contains_it():
    # inner plate met first; Pyro draws q in p, beside r, and the node y cannot lie in both
    relations = get_model_relations(ZOO["overlapping_same_size_order"][0])
    parents = generate_graph_specification(relations)["plate_data"]
    assert parents["q"] == {"parent": "r"}
    assert parents["r"] == {"parent": "p"}


def test_a_plate_split_twice_loses_no_site():
    plates = {"p": ["a", "b", "c"], "q": ["a", "b"], "r": ["a", "c", "d"]}
    found = separate_plates(plates)
    assert found == {"p": ["a", "b", "c"], "q": ["a", "b"], "r": ["a"], "r__CLONE": ["d"], "r__CLONE__CLONE": ["c"]}


def test_separated_plates_nest_or_are_disjoint_and_keep_their_sites():
    torch.manual_seed(0)
    for _ in range(100):
        member = torch.rand(4, 6) < 0.5
        plates = {f"p{i}": [f"s{j}" for j in range(6) if member[i, j]] for i in range(4)}
        found = separate_plates(plates)
        sets = [set(sites) for sites in found.values()]
        assert all(not one & two or one <= two or two <= one for one in sets for two in sets)
        for plate, sites in plates.items():
            parts = [name for copy, inside in found.items() if copy.partition("__CLONE")[0] == plate for name in inside]
            assert sorted(parts) == sites


def test_a_function_as_a_site_depends_on_what_its_value_was_computed_from():
    def model():
        a = pyroxene.sample("a", normal())
        b = pyroxene.sample("b", lambda: 2 * a)
        pyroxene.sample("c", normal(b), obs=torch.tensor(0.0))

    relations = get_model_relations(model)
    assert relations["sample_sample"] == {"a": [], "b": ["a"], "c": ["b"]}
    assert relations["sample_dist"]["b"] == "<lambda>"
    assert get_dependencies(model)["prior_dependencies"]["b"] == {"b": set(), "a": set()}


def test_runs_with_different_sites_are_drawn_together():
    def model(flag):
        a = pyroxene.sample("a", normal())
        b = pyroxene.sample("b", normal(a if flag else 0.0))
        if flag:
            with pyroxene.plate("i", 2):
                pyroxene.sample("c", normal(b))

    graph = MODELS["parse"](render_model(model, [(False,), (True,)]).source)
    assert graph["edges"] == [["a", "b"], ["b", "c"]]
    assert graph["plates"] == {"i": [None, ["c"]]}


def test_a_colon_in_a_name_is_no_port():
    def model():
        a = pyroxene.sample("net:a", normal())
        pyroxene.sample("net:b", normal(a))

    source = render_model(model).source
    assert MODELS["parse"](source)["edges"] == [["net:a", "net:b"]]
    assert '"net%3A' in source and 'label="net:a"' in source


# a run leaves things as they were ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [get_dependencies, get_model_relations, render_model])
def test_the_random_state_the_gradient_mode_and_the_switches_are_kept(ask):
    seen = []

    def model():
        seen.append((torch.is_grad_enabled(), pyroxene.settings.get("validate_infer")))
        pyroxene.sample("a", normal(pyroxene.param("p", torch.tensor(1.0))))

    torch.manual_seed(0)
    before = torch.get_rng_state()
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            ask(model)
            assert torch.is_grad_enabled() is enabled
    assert torch.equal(torch.get_rng_state(), before)
    assert pyroxene.settings.get("validate_infer") is True
    assert seen == [(False, False), (False, False)]


def test_params_are_made_and_stay_plain():
    def model():
        pyroxene.param("p", torch.tensor(2.0), constraint=dist.constraints.positive)

    render_model(model)
    store = pyroxene.get_param_store()
    assert type(store["p"]) is torch.Tensor and store["p"].item() == pytest.approx(2.0)
    (leaf,) = dict(store.named_parameters()).values()
    assert type(leaf) in (torch.Tensor, torch.nn.Parameter) and leaf.is_leaf and leaf.requires_grad


@pytest.mark.parametrize("update", [False, True])
def test_a_registered_module_keeps_its_parameters(update):
    net = torch.nn.Linear(2, 1)
    weight = net.weight

    def model():
        pyroxene.sample("y", dist.Normal(pyroxene.module("net", net, update)(torch.ones(2)), 1.0).to_event(1))

    relations = get_model_relations(model)
    assert net.weight is weight
    assert list(relations["param_constraint"]) == ["net$$$weight", "net$$$bias"]


class Regression(PyroModule):
    def __init__(self):
        super().__init__()
        self.linear = PyroModule[torch.nn.Linear](2, 1)
        self.linear.weight = PyroSample(dist.Normal(0.0, 1.0).expand([1, 2]).to_event(2))
        self.scale = PyroParam(torch.tensor(1.0), constraint=dist.constraints.positive)
        self.shift = PyroSample(lambda self: dist.Normal(self.scale, 1.0))

    def forward(self, x, y=None):
        mean = self.linear(x).squeeze(-1) + self.shift
        with pyroxene.plate("rows", len(x)):
            return pyroxene.sample("y", dist.Normal(mean, self.scale), obs=y)


def test_a_pyro_module_is_inspected_and_left_as_it_was():
    model = Regression()
    before = {name: (value, value.clone()) for name, value in model.named_parameters()}
    relations = get_model_relations(model, (torch.zeros(3, 2), torch.zeros(3)))
    assert relations["sample_sample"] == {"linear.weight": [], "shift": [], "y": ["linear.weight", "shift"]}
    assert relations["sample_param"]["shift"] == ["scale"] and "scale" in relations["sample_param"]["y"]
    posterior = get_dependencies(model, (torch.zeros(3, 2), torch.zeros(3)))["posterior_dependencies"]
    assert posterior["linear.weight"] == {"linear.weight": set(), "y": set(), "shift": set()}
    assert dict(model.named_parameters()).keys() == before.keys()
    for name, value in model.named_parameters():
        assert value is before[name][0] and torch.equal(value, before[name][1])
    assert get_provenance(model(torch.zeros(3, 2))) == set()


def test_a_param_hands_on_its_unconstrained_leaf():
    def model():
        p = pyroxene.param("p", torch.tensor(2.0), constraint=dist.constraints.positive)
        assert get_provenance(p) == {"p"}
        assert p.unconstrained().item() == pytest.approx(torch.tensor(2.0).log().item())

    get_model_relations(model)


def test_the_tracker_runs_under_gradients_and_validation():
    with pyroxene.validation_enabled(), inspect.TrackProvenance():
        trace = poutine.trace(ZOO["params"][0]).get_trace()
    trace.nodes["x"]["fn"].log_prob(trace.nodes["x"]["value"]).sum().backward()
    leaves = dict(pyroxene.get_param_store().named_parameters())
    assert leaves["g"].grad is not None


def test_dependencies_depend_on_conditioning():
    def model():
        a = pyroxene.sample("a", normal())
        b = pyroxene.sample("b", normal(a))
        pyroxene.sample("c", normal(b))

    free = get_dependencies(model)["posterior_dependencies"]
    fixed = get_dependencies(pyroxene.condition(model, data={"b": torch.tensor(0.0)}))["posterior_dependencies"]
    assert free == {"a": {"a": set(), "b": set()}, "b": {"b": set(), "c": set()}, "c": {"c": set()}}
    assert fixed == {"a": {"a": set(), "b": set()}, "c": {"c": set()}}


# the drawing ---------------------------------------------------------------------------------------------------------


def test_plates_say_their_size():
    def model(n, subsample_size=None):
        with pyroxene.plate("rows", n, subsample_size, dim=-1), pyroxene.plate("unknown", dim=-2):
            pyroxene.sample("x", normal())

    assert 'label="rows × 3" ' in render_model(model, (3,)).source
    assert 'label="rows × 4 of 10" ' in render_model(model, (10, 4)).source
    assert 'label="rows × 3, 5" ' in render_model(model, [(3,), (5,), (3,)]).source
    assert "label=unknown " in render_model(model, (3,)).source


def test_each_copy_of_a_plate_bears_the_plates_name_and_size():
    source = render_model(ZOO["overlapping"][0]).source
    assert source.count('label="q × 3"') == 2
    assert "subgraph cluster_q__CLONE" in source


def test_a_node_is_drawn_once_in_its_innermost_plate():
    source = render_model(ZOO["nested_three_deep"][0]).source
    assert [source.count(f"{name} [label={name} ") for name in "abc"] == [1, 1, 1]


def test_a_note_lists_distributions_and_constraints_aligned_left():
    source = render_model(ZOO["guide"][0], render_distributions=True, render_params=True).source
    (note,) = [line for line in source.splitlines() if "distribution_description_node" in line]
    assert r'label="a ~ Normal\lb ~ Normal\lc ~ Delta\la_loc : Real()\l' in note
    assert r"a_scale : GreaterThan(lower_bound=0.0)\l" in note
    assert "shape=plaintext" in note
    assert "constraint" not in render_model(ZOO["guide"][0], render_distributions=True).source


def test_a_backslash_in_a_name_is_shown():
    def model():
        pyroxene.sample(r"\theta", normal())

    assert r'label="\\theta"' in render_model(model, render_distributions=True).source


def test_observed_sites_are_grey_and_computed_ones_dashed():
    nodes = {node[0]: node[1:] for node in MODELS["parse"](render_model(ZOO["deterministic"][0]).source)["nodes"]}
    assert nodes["a"] == [False, False, "white"]
    assert nodes["e"] == [False, False, "grey"]
    assert nodes["b"] == [False, True, None]


def test_a_specification_without_sizes_or_params_is_drawn():
    specification = generate_graph_specification(
        {"sample_sample": {"x": []}, "sample_dist": {"x": "Normal"}, "plate_sample": {"N": ["x"]}, "observed": []}
    )
    assert specification == {
        "plate_groups": {"N": ["x"], None: []},
        "plate_data": {"N": {"parent": None}},
        "node_data": {"x": {"is_observed": False, "distribution": "Normal"}},
        "edge_list": [],
    }
    assert "label=N " in render_graph(specification).source


def test_what_several_runs_say_is_merged():
    assert _deep_merge([{"a": {"b": True}}, {"a": {"b": False}}]) == {"a": {"b": None}}
    assert _deep_merge([{"a": {"b": True}}, {"a": {"b": True}}]) == {"a": {"b": True}}
    assert _deep_merge([{"a": [1, 2], "s": "x"}, {"a": [2, 3], "c": 4}]) == {"a": [1, 2, 3], "s": "x", "c": 4}


@pytest.mark.parametrize(
    ("args", "kwargs"), [([], None), ([()], [{}, {}]), ((), []), ([torch.zeros(3), torch.zeros(3)], None)]
)
def test_lists_of_arguments_that_do_not_fit_are_refused(args, kwargs):
    with pytest.raises(UsageError, match="same length"):
        render_model(coin_and_data, args, kwargs)


# the file ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    """A PATH without the program dot."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize("ending", ["gv", "dot", "GV"])
@pytest.mark.usefixtures("no_dot")
def test_text_is_written_without_dot(tmp_path, ending):
    path = tmp_path / "folder" / f"model.{ending}"
    graph = render_model(coin_and_data, filename=str(path))
    assert path.read_text(encoding="utf-8") == graph.source
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["pdf", "png", "svg"])
@pytest.mark.usefixtures("no_dot")
def test_without_dot_the_text_is_written_and_the_error_says_where(tmp_path, ending):
    path = tmp_path / f"model.{ending}"
    with pytest.raises(MissingPackageError, match="the program dot") as raised:
        render_model(coin_and_data, filename=path)
    text = tmp_path / "model.gv"
    assert text.read_text(encoding="utf-8") == render_model(coin_and_data).source
    assert str(text) in str(raised.value) and "install graphviz" in str(raised.value)
    assert not path.exists()


@pytest.mark.parametrize("name", ["model.xyz", "model", "model.txt"])
def test_an_unknown_extension_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="names no format") as raised:
        render_model(coin_and_data, filename=tmp_path / name)
    assert isinstance(raised.value, ValueError)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs the program dot, of Graphviz")
@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_picture_is_written_and_nothing_else(tmp_path, ending, start):
    path = tmp_path / f"model.{ending}"
    render_model(coin_and_data, filename=str(path), render_distributions=True)
    assert path.read_bytes().startswith(start)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_without_graphviz_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(MissingPackageError, match="pip install graphviz") as raised:
        render_model(coin_and_data)
    assert isinstance(raised.value, ImportError)
    assert get_model_relations(coin_and_data)["plate_sample"] == {"rows": ["y"]}


def test_graphviz_is_imported_when_it_is_used():
    assert not any(getattr(value, "__name__", "") == "graphviz" for value in vars(render).values())
    assert not any(getattr(value, "__name__", "") == "graphviz" for value in vars(inspect).values())
