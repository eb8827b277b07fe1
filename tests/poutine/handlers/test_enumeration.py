"""`enum` and `markov`: which dimensions and symbols sites get. The tables were made with pyro-ppl 1.9.2."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.errors import PlateError, ShapeError, UnsupportedError, UsageError
from pyroxene.poutine.handlers import EnumMessenger, MarkovMessenger, enumerate_site

PARALLEL = {"enumerate": "parallel"}
ZERO = torch.tensor(0.0)


def site(name, *parents):
    return pyroxene.sample(name, dist.Bernoulli(0.2 + 0.01 * sum(parents)), infer=PARALLEL)


def run(model, first_available_dim=-2):
    trace = poutine.trace(poutine.enum(model, first_available_dim=first_available_dim)).get_trace()
    trace.compute_log_prob()
    trace.pack_tensors()
    return trace


def allocation(trace):
    """The dimension of each enumerated site, and the symbols of each site's log density."""
    return {
        name: (node["infer"].get("_enumerate_dim"), node["packed"]["log_prob"]._pyro_dims)
        for name, node in trace.nodes.items()
        if node["type"] == "sample" and not name.startswith("p")
    }


# dimensions ---------------------------------------------------------------------------------------------------------


def before_and_after_a_loop():
    g = site("g")
    x = site("x", g)
    for i in pyroxene.markov(range(4)):
        x = site(f"x{i}", x, g)
    site("k", site("h", x * 0 if False else ZERO))


def two_loops_in_a_plate():
    x = ZERO
    with pyroxene.plate("p", 2, dim=-1):
        for i in pyroxene.markov(range(3), history=0):
            site(f"x{i}")
        for i in pyroxene.markov(range(4), history=2):
            x = site(f"y{i}", x if i else ZERO)
    with pyroxene.plate("pq", 3, dim=-1):
        site("z")


def a_chain_with_a_site_that_is_not_enumerated():
    x = y = ZERO
    for i in pyroxene.markov(range(4)):
        x = site(f"x{i}", x)
        s = pyroxene.sample(f"s{i}", dist.Normal(x, 1.0))
        y = site(f"y{i}", s * 0, y)


def plates_in_a_loop():
    a = site("a")
    for i in pyroxene.markov(range(3)):
        with pyroxene.plate(f"p{i}", 3, dim=-1):
            site(f"y{i}", site(f"x{i}", a))


def loops_in_a_loop():
    for i in pyroxene.plate("p", 2):
        x = site(f"x{i}")
        for t in pyroxene.markov(range(3)):
            x = site(f"y{i}_{t}", x)


def tree(keep):
    @pyroxene.markov(keep=keep)
    def grow(depth, x, name):
        x = site(name, x)
        if depth < 2:
            grow(depth + 1, x, name + "l")
            grow(depth + 1, x, name + "r")

    def model():
        grow(0, ZERO, "x")

    return model


def several_blocks(keep):
    def model():
        context = pyroxene.markov(history=1, keep=keep)
        x = ZERO
        for i in range(3):
            with context:
                x = site(f"x{i}", x if keep else ZERO)

    return model


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (before_and_after_a_loop, {
            "g": (-2, "b"), "x": (-3, "db"), "x0": (-4, "fdb"), "x1": (-5, "hfb"), "x2": (-4, "hjb"), "x3": (-5, "ljb"),
            "h": (-4, "n"), "k": (-5, "pn")}),
        (two_loops_in_a_plate, {
            "x0": (-2, "ba"), "x1": (-2, "da"), "x2": (-2, "fa"), "y0": (-2, "ha"), "y1": (-3, "jha"),
            "y2": (-4, "lja"), "y3": (-2, "lna"), "z": (-2, "pc")}),
        (a_chain_with_a_site_that_is_not_enumerated, {
            "x0": (-2, "b"), "s0": (None, "b"), "y0": (-3, "db"), "x1": (-4, "fb"), "s1": (None, "f"),
            "y1": (-5, "hfd"), "x2": (-2, "fj"), "s2": (None, "j"), "y2": (-3, "hlj"), "x3": (-4, "nj"),
            "s3": (None, "n"), "y3": (-5, "pnl")}),
        (plates_in_a_loop, {
            "a": (-2, "b"), "x0": (-3, "dba"), "y0": (-4, "fda"), "x1": (-5, "hbc"), "y1": (-6, "jhc"),
            "x2": (-3, "lbe"), "y2": (-4, "nle")}),
        (loops_in_a_loop, {
            "x0": (-2, "b"), "y0_0": (-3, "db"), "y0_1": (-4, "fd"), "y0_2": (-3, "fh"), "x1": (-3, "j"),
            "y1_0": (-4, "lj"), "y1_1": (-5, "nl"), "y1_2": (-4, "np")}),
        (tree(keep=False), {
            "x": (-2, "b"), "xl": (-3, "db"), "xll": (-2, "df"), "xlr": (-2, "dh"), "xr": (-3, "jb"),
            "xrl": (-2, "jl"), "xrr": (-2, "jn")}),
        (several_blocks(keep=True), {"x0": (-2, "b"), "x1": (-3, "db"), "x2": (-4, "fd")}),
        (several_blocks(keep=False), {"x0": (-2, "b"), "x1": (-2, "d"), "x2": (-2, "f")}),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)  # fmt: skip
def test_dimensions_and_symbols(model, expected):
    assert allocation(run(model)) == expected


def test_branches_that_see_each_other_may_need_one_dimension_twice():
    with pytest.raises(UnsupportedError, match="'xrl' may depend on are enumerated along one dimension"):
        run(tree(keep=True))


def test_a_long_chain_needs_two_dimensions_and_is_right():
    """The packed factors of a hidden Markov chain, contracted by einsum, give the forward algorithm's likelihood."""
    transition = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    data = torch.tensor([0.5, -1.0, 2.0, 0.1, -0.3, 1.5])

    def chain():
        x = 0
        for t in pyroxene.markov(range(len(data))):
            x = pyroxene.sample(f"x{t}", dist.Categorical(transition[x]), infer=PARALLEL)
            pyroxene.sample(f"y{t}", dist.Normal(x.to(torch.float), 1.0), obs=data[t])

    trace = run(chain, first_available_dim=-1)
    dims = {node["infer"]["_enumerate_dim"] for name, node in trace.nodes.items() if name.startswith("x")}
    assert dims == {-1, -2}
    factors = [node["packed"]["log_prob"] for node in trace.nodes.values() if node["type"] == "sample"]
    equation = ",".join(factor._pyro_dims for factor in factors)
    likelihood = torch.einsum(equation + "->", *[factor.exp() for factor in factors])
    forward = transition[0]
    for t, value in enumerate(data):
        forward = (forward if t == 0 else forward @ transition) * dist.Normal(torch.arange(2.0), 1.0).log_prob(
            value
        ).exp()
    torch.testing.assert_close(likelihood, forward.sum())


def test_a_site_may_not_depend_on_an_inner_loop_that_has_ended():
    def model():
        for i in pyroxene.markov(range(2)):
            for j in pyroxene.markov(range(2)):
                inner = site(f"b{i}{j}")
            pyroxene.sample(f"o{i}", dist.Normal(inner, 1.0), obs=ZERO)

    with pytest.raises(ShapeError, match="Error while packing tensors at site 'o0'"):
        run(model)


def test_a_model_continues_the_enumeration_of_its_guide():
    def guide():
        with pyroxene.plate("p", 2, dim=-1):
            site("x")
        for i in pyroxene.markov(range(2)):
            site(f"g{i}")

    def model():
        with pyroxene.plate("p", 2, dim=-1):
            x = pyroxene.sample("x", dist.Bernoulli(0.2))
            w = site("w", x)
            pyroxene.sample("o", dist.Normal(x + w, 1.0), obs=torch.zeros(2))
        for i in pyroxene.markov(range(2)):
            g = pyroxene.sample(f"g{i}", dist.Bernoulli(0.2))
            site(f"h{i}", g)

    for _ in range(2):
        guide_trace = poutine.trace(poutine.enum(guide, first_available_dim=-2)).get_trace()
        model_trace = poutine.trace(poutine.replay(poutine.enum(model), trace=guide_trace)).get_trace()
        for trace in (guide_trace, model_trace):
            trace.compute_log_prob()
        guide_trace.pack_tensors()
        model_trace.pack_tensors(guide_trace.plate_to_symbol)
        assert allocation(guide_trace) == {"x": (-2, "ba"), "g0": (-3, "d"), "g1": (-4, "f")}
        found = allocation(model_trace)
        assert found.pop("o") == (None, "hba")
        assert found == {
            "x": (-2, "ba"), "w": (-5, "hba"), "g0": (-3, "d"), "h0": (-6, "jd"), "g1": (-4, "f"), "h1": (-7, "lf"),
        }  # fmt: skip


def test_replay_of_enumerated_values():
    def model():
        x = site("x")
        return pyroxene.sample("y", dist.Normal(x, 1.0))

    guide = poutine.trace(poutine.enum(model, first_available_dim=-1)).get_trace()
    for fn in (
        poutine.replay(model, trace=guide),
        poutine.enum(poutine.replay(model, trace=guide), first_available_dim=-1),
        poutine.replay(poutine.enum(model, first_available_dim=-1), trace=guide),
    ):
        assert fn() is guide.nodes["y"]["value"]


def test_three_forms_and_repeated_runs():
    @poutine.enum(first_available_dim=-3)
    def decorated():
        return site("x")

    with poutine.enum(first_available_dim=-3) as messenger:
        assert site("x").shape == (2, 1, 1) and isinstance(messenger, EnumMessenger)
    assert decorated().shape == decorated().shape == (2, 1, 1)


@pytest.mark.parametrize("expand", [True, False])
def test_values_are_moved_to_their_dimension(expand):
    def model():
        with pyroxene.plate("p", 3):
            x = pyroxene.sample("x", dist.OneHotCategorical(torch.ones(4)), infer={**PARALLEL, "expand": expand})
            y = pyroxene.sample("y", dist.Categorical(x + 1), infer={**PARALLEL, "expand": expand})
        return x.shape, y.shape

    x, y = poutine.enum(model, first_available_dim=-3)()
    wide = 3 if expand else 1
    assert x == (4, 1, wide, 4) and y == (4, 4 if expand else 1, 1, wide)


def test_only_marked_latent_sites_are_enumerated():
    def model():
        return [
            pyroxene.sample("a", dist.Bernoulli(0.5)).shape,
            pyroxene.sample("b", dist.Bernoulli(0.5), infer={"enumerate": "sequential"}).shape,
            pyroxene.sample("c", dist.Bernoulli(0.5), infer=PARALLEL, obs=torch.tensor(1.0)).shape,
        ]

    assert poutine.enum(model, first_available_dim=-2)() == [(), (), ()]


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        (lambda: pyroxene.sample("x", dist.Normal(0.0, 1.0), infer=PARALLEL), UnsupportedError, "cannot be enumerated"),
        (lambda: pyroxene.plate("wide", 3, dim=-2)(site)("x"), PlateError, "among the dimensions for enumeration"),
    ],
)
def test_what_cannot_be_enumerated(model, error, says):
    with pytest.raises(error, match=says) as caught:
        poutine.enum(model, first_available_dim=-2)()
    assert caught.value.site == "x" and caught.value.hint
    assert error is PlateError or isinstance(caught.value, NotImplementedError)


def test_dimensions_count_from_the_right():
    with pytest.raises(AssertionError, match="from the right"):
        poutine.enum(site, first_available_dim=0)


# samples in the place of values -------------------------------------------------------------------------------------


def tensor_monte_carlo(**infer):
    def model():
        with pyroxene.plate("p", 2, dim=-1):
            infer_all = {**PARALLEL, "num_samples": 3, **infer}
            a = pyroxene.sample("a", dist.Normal(0.0, 1.0), infer=infer_all)
            b = pyroxene.sample("b", dist.Normal(a, 1.0), infer=infer_all)
            c = pyroxene.sample("c", dist.Normal(a + b, 1.0).expand([3, 3, 2]), infer=infer_all)
        return a, b, c

    return model


@pytest.mark.parametrize("strategy", ["diagonal", "mixture"])
def test_samples_are_thinned_to_one_for_each_index(strategy):
    a, b, c = poutine.enum(tensor_monte_carlo(tmc=strategy), first_available_dim=-2)()
    assert (a.shape, b.shape, c.shape) == ((3, 2), (3, 1, 2), (3, 1, 1, 2))
    a, b, c = poutine.enum(tensor_monte_carlo(expand=True), first_available_dim=-2)()
    assert (a.shape, b.shape, c.shape) == ((3, 2), (3, 3, 2), (3, 3, 3, 2))


def test_the_draws_are_pyro_s():
    pyroxene.set_rng_seed(0)
    _, b, _ = poutine.enum(tensor_monte_carlo(), first_available_dim=-2)()
    expected = torch.tensor([1.4525, 0.2305, -1.7391, 0.6808, -0.5617, 0.9036])
    torch.testing.assert_close(b.flatten(), expected, atol=1e-4, rtol=0)

    def mixture():
        with pyroxene.plate("p", 2, dim=-1):
            a = pyroxene.sample("a", dist.Bernoulli(0.3), infer={**PARALLEL, "num_samples": 3})
            return pyroxene.sample("b", dist.Normal(a, 1.0), infer={**PARALLEL, "num_samples": 4, "tmc": "mixture"})

    pyroxene.set_rng_seed(0)
    expected = torch.tensor([0.6439, 1.4372, -0.0885, 0.5239, 1.4397, 1.1124, 0.7103, 1.0525])
    drawn = poutine.enum(mixture, first_available_dim=-2)().flatten()
    torch.testing.assert_close(drawn, expected, atol=1e-4, rtol=0)


def test_diagonal_takes_the_sample_at_the_same_index():
    def model():
        a = pyroxene.sample("a", dist.Normal(torch.tensor(0.0), 1.0), infer={**PARALLEL, "num_samples": 5})
        b = pyroxene.sample("b", dist.Delta(a), infer={**PARALLEL, "num_samples": 5})
        return a.flatten().tolist() == b.flatten().tolist() and b.shape == (5, 1)

    assert poutine.enum(model, first_available_dim=-1)()


def test_what_tensor_monte_carlo_refuses():
    with pytest.raises(UsageError, match="foo is no valid TMC strategy"):
        poutine.enum(tensor_monte_carlo(tmc="foo"), first_available_dim=-2)()

    def unequal():
        a = pyroxene.sample("a", dist.Normal(0.0, 1.0), infer={**PARALLEL, "num_samples": 3})
        pyroxene.sample("b", dist.Normal(a, 1.0), infer={**PARALLEL, "num_samples": 2})

    with pytest.raises(ShapeError, match=r"expected: num_samples = 3\n  got: 2"):
        poutine.enum(unequal, first_available_dim=-1)()


def test_enumerate_site():
    with poutine.trace() as trace:
        pyroxene.sample("x", dist.Categorical(torch.ones(2, 3)))
    message = trace.trace.nodes["x"]
    assert enumerate_site(message).shape == (3, 1)
    message["infer"]["expand"] = True
    assert enumerate_site(message).shape == (3, 2)
    message["infer"]["num_samples"] = 7
    assert enumerate_site(message).shape == (7, 2)


# markov -------------------------------------------------------------------------------------------------------------


def scopes(model):
    nodes = poutine.trace(model).get_trace().nodes
    found = {}
    for name, node in nodes.items():
        if node["type"] == "sample":
            found[name] = node["infer"]["_markov_depth"], dict(node["infer"]["_markov_scope"])
    return found


def draw(name):
    return pyroxene.sample(name, dist.Normal(0.0, 1.0))


def test_markov_over_an_iterable():
    def model():
        rounds = []
        for i in pyroxene.markov(range(4), history=2):
            rounds.append(i)
            draw(f"x{i}")
        return rounds

    assert model() == [0, 1, 2, 3]
    assert scopes(model) == {
        "x0": (1, {}), "x1": (1, {"x0": 1}), "x2": (1, {"x0": 1, "x1": 1}), "x3": (1, {"x1": 1, "x2": 1}),
    }  # fmt: skip


def test_markov_loops_nest():
    def model():
        for i in pyroxene.markov(range(2)):
            draw(f"x{i}")
            for j in pyroxene.markov(range(2)):
                draw(f"y{i}{j}")

    assert scopes(model) == {
        "x0": (1, {}),
        "y00": (2, {"x0": 1}),
        "y01": (2, {"x0": 1, "y00": 2}),
        "x1": (1, {"x0": 1, "y00": 1, "y01": 1}),
        "y10": (2, {"x0": 1, "y00": 1, "y01": 1, "x1": 1}),
        "y11": (2, {"x0": 1, "y00": 1, "y01": 1, "x1": 1, "y10": 2}),
    }


@pytest.mark.parametrize("keep", [True, False])
def test_markov_around_a_function_and_as_a_block(keep):
    @pyroxene.markov(keep=keep)
    def branch(depth, name):
        draw(name)
        if depth:
            branch(depth - 1, name + "l")
            branch(depth - 1, name + "r")

    left = {"xl": 1} if keep else {}
    assert scopes(lambda: branch(1, "x")) == {"x": (1, {}), "xl": (1, {"x": 1}), "xr": (1, {"x": 1} | left)}

    def blocks():
        with pyroxene.markov(keep=keep) as context:
            draw("a")
        with context:
            draw("b")
        with pyroxene.markov(history=0):
            draw("c")
        assert isinstance(context, MarkovMessenger)

    assert scopes(blocks) == {"a": (1, {}), "b": (1, {"a": 1} if keep else {}), "c": (1, {})}


def test_a_markov_loop_that_is_left_early():
    def model():
        for i in pyroxene.markov(range(9)):
            draw(f"x{i}")
            if i == 1:
                break
        draw("y")

    nodes = poutine.trace(model).get_trace().nodes
    assert "_markov_depth" not in nodes["y"]["infer"] and not poutine.runtime._PYRO_STACK


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: pyroxene.markov(3), UsageError),
        (lambda: pyroxene.markov(range(3), history=-1), AssertionError),
        (lambda: pyroxene.markov(range(3), dim=-1), NotImplementedError),
    ],
)
def test_what_markov_refuses(wrong, error):
    with pytest.raises(error):
        wrong()
