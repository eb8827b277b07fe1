"""Plates of a guide, subsampled and given; lists, callables; what is refused, and how it is said."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.infer.autoguide import (
    AutoCallable,
    AutoDelta,
    AutoDiagonalNormal,
    AutoGuide,
    AutoGuideList,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
    AutoNormal,
)
from pyroxene.optim import SGD

sample, plate = pyroxene.sample, pyroxene.plate
seen: list[torch.Tensor] = []


def subsampled():
    m = sample("m", dist.Normal(0.0, 1.0))
    with plate("rows", 10, subsample_size=3) as rows:
        seen.append(rows)
        z = sample("z", dist.Normal(m, 1.0))
        q = sample("q", dist.Dirichlet(torch.ones(2)))
        sample("x", dist.Normal(z + q[..., 0], 1.0), obs=torch.arange(10.0)[rows])


def chosen(rows):
    m = sample("m", dist.Normal(0.0, 1.0))
    with plate("rows", 10, subsample=rows, dim=-1):
        z = sample("z", dist.Normal(m, 1.0))
        sample("x", dist.Normal(z, 1.0), obs=torch.arange(10.0)[rows])


def local_list(model):
    guide = AutoGuideList(model)
    guide.append(AutoDiagonalNormal(poutine.block(model, expose=["m"])))
    guide.append(AutoNormal(poutine.block(model, expose=["z"])))
    guide.append(AutoDelta(poutine.block(model, hide=["m", "z"])))
    return guide


def given_plates(model):
    return AutoNormal(model, create_plates=lambda: plate("rows", 10, subsample_size=3, dim=-1))


def given_points(model):
    return AutoDelta(model, create_plates=lambda: [plate("rows", 10, subsample_size=3)])


@pytest.mark.parametrize("make", [AutoNormal, AutoDelta, given_plates, given_points, local_list])
def test_model_and_guide_see_the_same_members(make):
    guide = make(subsampled)
    guide()
    leaves = [leaf for name, leaf in guide.named_parameters() if ".z_" in f".{name}"]
    assert leaves and all(leaf.shape == (10,) for leaf in leaves)
    steps = []
    for _ in range(5):
        seen.clear()
        before = [leaf.detach().clone() for leaf in leaves]
        SVI(subsampled, guide, SGD({"lr": 0.01}), Trace_ELBO()).step()
        assert torch.equal(guide.plates["rows"].indices, seen[-1])
        for leaf, old in zip(leaves, before, strict=True):
            assert sorted(seen[-1].tolist()) == (leaf != old).nonzero().flatten().tolist()
        steps.append(tuple(seen[-1].tolist()))
    assert len(set(steps)) > 1
    assert guide.median()["z"].shape == (10,)
    assert guide.median()["q"].shape == (10, 2)
    assert guide()["q"].shape == (3, 2)


@pytest.mark.parametrize("expose", [["z"], ["m", "z"]])
def test_a_blocked_model_outside_of_a_list_subsamples_too(expose):
    guide = AutoNormal(poutine.block(subsampled, expose=expose))
    assert guide()["z"].shape == (3,)
    assert guide.locs.z.shape == (10,)


def test_given_plates_follow_the_models_arguments():
    guide = AutoNormal(chosen, create_plates=lambda rows: plate("rows", 10, subsample=rows, dim=-1))
    rows = torch.tensor([7, 2])
    assert guide(rows)["z"].shape == (2,)
    SVI(chosen, guide, SGD({"lr": 0.1}), Trace_ELBO()).step(rows)
    changed = (guide.locs.z != guide.locs.z[0]).nonzero().flatten().tolist()
    assert changed == [2, 7]
    assert guide(torch.tensor([1, 2, 3]))["z"].shape == (3,)
    whole = AutoGuideList(chosen, create_plates=lambda rows: plate("rows", 10, subsample=rows, dim=-1))
    whole.append(AutoNormal(chosen))
    pyroxene.clear_param_store()
    assert whole(rows)["z"].shape == (2,)
    assert whole[0](rows)["z"].shape == (2,)


def test_a_model_without_local_sites_leaves_the_plate_to_the_model():
    def model():
        m = sample("m", dist.Normal(0.0, 1.0))
        with plate("rows", 10, subsample_size=3) as rows:
            sample("x", dist.Normal(m, 1.0), obs=torch.arange(10.0)[rows])

    for make in (AutoNormal, AutoDelta, AutoMultivariateNormal):
        pyroxene.clear_param_store()
        guide = make(model)
        SVI(model, guide, SGD({"lr": 0.01}), Trace_ELBO()).step()
        assert guide.plates == {}


# lists ---------------------------------------------------------------------------------------------------------------


def three():
    a = sample("a", dist.Normal(0.0, 1.0))
    b = sample("b", dist.HalfNormal(1.0))
    c = sample("c", dist.Normal(a, b))
    sample("x", dist.Normal(c, 1.0), obs=torch.tensor(0.5))


def test_a_list_of_guides_functions_and_lists():
    inner = AutoGuideList(poutine.block(three, expose=["a", "b"]))
    inner.append(AutoNormal(poutine.block(three, expose=["a"])))
    guide = AutoGuideList(three)
    guide.add(inner)
    inner.append(AutoDelta(poutine.block(three, expose=["b"])))
    guide.append(lambda: {"c": sample("c", dist.Normal(pyroxene.param("centre", torch.tensor(0.0)), 1.0))})
    assert isinstance(guide[1], AutoCallable)
    assert sorted(guide()) == ["a", "b", "c"]
    assert list(pyroxene.get_param_store()) == [
        "AutoGuideList.0.0.locs.a",
        "AutoGuideList.0.0.scales.a",
        "AutoGuideList.0.1.b",
        "centre",
    ]
    assert list(guide.state_dict()) == ["0.0.locs.a_unconstrained", "0.0.scales.a_unconstrained", "0.1.b_unconstrained"]
    assert sorted(guide.median()) == ["a", "b"]
    assert SVI(three, guide, SGD({"lr": 0.01}), Trace_ELBO()).step() > 0
    with pytest.raises(NotImplementedError, match="the part AutoDelta has no quantiles"):
        guide.quantiles([0.5])


def test_a_function_may_know_its_medians_and_return_nothing():
    guide = AutoGuideList(three)
    guide.extend([AutoNormal(poutine.block(three, expose=["a", "b"]))])
    guide.append(AutoCallable(three, lambda: None, median=lambda: {"c": torch.tensor(2.0)}))
    assert sorted(guide()) == ["a", "b"]
    assert guide.median()["c"] == 2.0


def test_a_list_of_normals_has_quantiles():
    guide = AutoGuideList(three)
    guide.append(AutoNormal(poutine.block(three, expose=["a"])))
    guide.append(AutoDiagonalNormal(poutine.block(three, hide=["a"])))
    quantiles = guide.quantiles([0.2, 0.8])
    assert {name: tuple(value.shape) for name, value in quantiles.items()} == {"a": (2,), "b": (2,), "c": (2,)}


def test_a_part_outlives_its_list():
    guide = AutoGuideList(three)
    part = AutoNormal(poutine.block(three, expose=["a"]))
    guide.append(part)
    guide()
    del guide
    assert list(part()) == ["a"]


# what is refused -----------------------------------------------------------------------------------------------------


def says(*words):
    return "(?s)" + ".*".join(words)


def test_parts_that_do_not_fit():
    guide = AutoGuideList(three)
    part = AutoNormal(poutine.block(three, expose=["a"]))
    guide.append(part)
    with pytest.raises(RuntimeError, match=says("AutoNormal is already part of a list", "try: .*poutine.block")):
        guide.append(part)
    stranger = AutoGuideList(three)
    stranger.append(AutoNormal(lambda: sample("elsewhere", dist.Normal(0.0, 1.0))))
    with pytest.raises(KeyError, match=says("site 'elsewhere'", "the list's model")):
        stranger()
    wide = AutoGuideList(three)
    wide.append(AutoNormal(lambda: sample("a", dist.Normal(torch.zeros(2), 1.0))))
    with pytest.raises(ValueError, match=says("site 'a' at another batch shape", "2")):
        wide()


@pytest.mark.parametrize("make", [AutoNormal, AutoDelta, AutoDiagonalNormal])
def test_a_discrete_site(make):
    def model():
        sample("weight", dist.Normal(0.0, 1.0))
        sample("flag", dist.Bernoulli(0.5))

    guide = make(model)
    for _ in range(2):  # a call that failed leaves nothing behind
        with pytest.raises(ValueError, match=says("discrete sample site 'flag'", "test_guide.py", "poutine.block")):
            guide()
    assert guide.prototype_trace is None


@pytest.mark.parametrize("make", [AutoDiagonalNormal, AutoMultivariateNormal, AutoLowRankMultivariateNormal])
def test_a_subsampled_plate_in_a_guide_of_one_vector(make):
    for model, args in ((subsampled, ()), (chosen, (torch.tensor([1, 2]),))):
        guide = make(model)
        for _ in range(2):
            with pytest.raises(ValueError, match=says("cannot guide site 'z'", "plate 'rows'", "AutoGuideList")):
                guide(*args)


@pytest.mark.parametrize("make", [AutoDiagonalNormal, AutoMultivariateNormal, AutoLowRankMultivariateNormal])
def test_nothing_to_guide(make):
    def model():
        sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))

    with pytest.raises(RuntimeError, match=says("found no latent variables", "try: guide = ")):
        make(model)()
    assert AutoNormal(model)() == AutoDelta(model)() == {}


def test_indices_that_the_guide_cannot_know():
    with pytest.raises(ValueError, match=says("'z'", "indices from the model's arguments", "create_plates=")):
        AutoNormal(chosen)(torch.tensor([1, 2]))

    def loop():
        for row in plate("rows", 10, subsample_size=2):
            sample(f"z_{row}", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match=says("'z_[0-9]'", "subsamples as a loop", "with pyroxene.plate")):
        AutoNormal(loop)()


def test_plates_that_are_given_wrongly():
    for made in (3, [3], None):
        guide = AutoNormal(subsampled, create_plates=lambda made=made: made)
        with pytest.raises(TypeError, match=says("create_plates returned something else", "try: create_plates=")):
            guide()
    for size, dim in ((11, -1), (10, -2)):
        guide = AutoDelta(subsampled, create_plates=lambda size=size, dim=dim: plate("rows", size, None, None, dim))
        with pytest.raises(ValueError, match=says("plate 'rows' otherwise", "size 10, dim -1")):
            guide()


def test_options_that_have_no_meaning():
    with pytest.raises(ValueError, match=says("AutoNormal guides a model", "got: 3")):
        AutoNormal(3)
    with pytest.raises(ValueError, match="rank"):
        AutoLowRankMultivariateNormal(three, rank=0)
    with pytest.raises(RuntimeError, match="has not seen its model yet"):
        _ = AutoDiagonalNormal(three).latent_dim
    with pytest.raises(NotImplementedError, match="does not know its medians"):
        AutoGuide(three).median()
    with pytest.raises(NotImplementedError, match="no single latent variable"):
        AutoNormal(three).sample_latent()


def test_the_latent_vector():
    guide = AutoMultivariateNormal(three)
    guide()
    assert guide.latent_dim == 3
    assert guide.get_posterior().event_shape == (3,)
    latent = guide.sample_latent()
    assert latent.shape == (3,)
    assert [(site["name"], value.item()) for site, value in guide._unpack_latent(latent)] == list(
        zip("abc", latent.tolist(), strict=True)
    )
    assert len(AutoLowRankMultivariateNormal(three).quantiles([0.5])["a"]) == 1


def test_a_median_is_no_view_of_a_parameter():
    for make in (AutoNormal, AutoDelta, AutoDiagonalNormal):
        pyroxene.clear_param_store()
        guide = make(three)
        guide()
        before = guide.median()["a"]
        kept = before.clone()
        SVI(three, guide, SGD({"lr": 0.1}), Trace_ELBO()).step()
        assert torch.equal(before, kept)
        assert not torch.equal(guide.median()["a"], kept)


def test_extra_names_at_their_deep_paths():
    import pyroxene.infer.autoguide.utils as utils
    from pyroxene.density import InitMessenger

    assert callable(utils.deep_setattr) and callable(utils.helpful_support_errors)
    with InitMessenger(lambda site: torch.tensor(0.25)):
        assert sample("x", dist.Normal(0.0, 1.0)) == 0.25
