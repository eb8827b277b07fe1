"""The second study: the figures of the exact posterior, and a run of the program."""

from __future__ import annotations

import pytest
import torch

import pyroxene as pyro
from pyroxene.errors import DataError

EXACT_MEAN = {"a": 9.181, "bA": -1.840, "bR": -0.183, "bAR": 0.346, "sigma": 0.951}
EXACT_SD = {"a": 0.138, "bA": 0.223, "bR": 0.077, "bAR": 0.130, "sigma": 0.052}
MEAN_FIELD_SCALE = {"a": 0.070, "bA": 0.141, "bR": 0.044, "bAR": 0.079, "sigma": 0.061}  # sigma's: of its logit


@pytest.fixture
def study(example):
    return example("geography")


@pytest.fixture
def arguments(study, shared):
    nations = study.load_rugged(shared / "data")
    assert len(nations.country) == 170
    return nations.is_cont_africa, nations.ruggedness, nations.log_gdp


def fitted(study, guide, arguments):
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    study.fit(study.model, guide, arguments, 3000)
    # More steps at a small rate and with more particles take out the optimiser's noise.
    from pyroxene.infer import SVI, Trace_ELBO
    from pyroxene.optim import Adam

    SVI(study.model, guide, Adam({"lr": 5e-4}), Trace_ELBO(num_particles=4)).run(1000, *arguments, progress=False)
    return guide


def test_auto_normal(study, arguments):
    """Medians within 0.05 of the exact means; scales within 15 % of the mean-field optimum."""
    guide = fitted(study, study.AutoNormal(study.model), arguments)
    medians = guide.median()
    for name, exact in EXACT_MEAN.items():
        assert abs(medians[name].item() - exact) < 0.05, name
        scale = pyro.param(f"AutoNormal.scales.{name}").item()
        assert abs(scale / MEAN_FIELD_SCALE[name] - 1) < 0.15, name


def test_auto_multivariate_normal(study, arguments):
    """Standard deviations within 15 % of the exact ones, the correlation of a with bR, and the slopes.

    100 000 draws: the standard error of a standard deviation is 0.2 %, of a correlation 0.001."""
    guide = fitted(study, study.AutoMultivariateNormal(study.model), arguments)
    draws = study.latent_draws(guide, arguments, 100_000)
    for name in EXACT_MEAN:
        assert abs(draws[name].mean().item() - EXACT_MEAN[name]) < 0.05, name
        assert abs(draws[name].std().item() / EXACT_SD[name] - 1) < 0.15, name
    correlation = torch.corrcoef(torch.stack([draws["a"], draws["bR"]]))[0, 1].item()
    assert abs(correlation + 0.78) < 0.08
    slopes = study.slopes(draws)
    assert abs(slopes["African nations"].mean().item() - 0.163) < 0.03
    assert abs(slopes["African nations"].std().item() / 0.106 - 1) < 0.15
    assert abs(slopes["other nations"].mean().item() + 0.183) < 0.03
    assert abs(slopes["other nations"].std().item() / 0.077 - 1) < 0.15


def test_maximum_likelihood_is_least_squares(study, arguments):
    africa, rugged, log_gdp = (x.double() for x in arguments)
    design = torch.stack([torch.ones_like(africa), africa, rugged, africa * rugged], -1)
    coefficients = torch.linalg.lstsq(design, log_gdp[:, None]).solution.squeeze(-1)
    sigma = (log_gdp - design @ coefficients).square().mean().sqrt()
    pyro.set_rng_seed(0)
    study.fit(study.simple_model, lambda *args: None, arguments, 6000)
    for name, exact in zip(("a", "bA", "bR", "bAR", "sigma"), [*coefficients, sigma], strict=True):
        assert abs(pyro.param(name).item() - exact.item()) < 0.02, name


def test_a_quick_run_prints_and_draws(study, shared, run_main, assert_figures, tmp_path):
    import shutil

    printed = run_main(study, "--quick", "--data", shared / "data", "--out", tmp_path)
    for words in ("AutoNormal.locs.a", "AutoMultivariateNormal", "Slope of log GDP", str(tmp_path)):
        assert words in printed
    drawn = ["1_data", "5_loss", "6_slopes", "7_posterior_predictive", "8_pairs"]
    graphs = ["2_graph_maximum_likelihood", "3_graph_bayesian", "4_graph_guide"]
    if shutil.which("dot") is None:  # then the graphs are text
        assert all((tmp_path / f"{name}.gv").is_file() for name in graphs)
        graphs = []
    assert_figures(tmp_path, [*drawn, *graphs])


def test_data_are_looked_for_in_order_and_checked(study, shared, tmp_path, monkeypatch):
    monkeypatch.setenv("PYROXENE_DATA_DIR", str(shared / "data"))
    assert len(study.load_rugged().country) == 170
    with pytest.raises(DataError, match=r"--data names a folder without rugged_data\.csv"):
        study.load_rugged(tmp_path)
    text = (shared / "data" / "rugged_data.csv").read_text()
    (tmp_path / "rugged_data.csv").write_text(text.replace("Algeria", "Algeria", 1).rsplit("\n", 3)[0])
    with pytest.raises(DataError, match="does not hold what it should"):
        study.load_rugged(tmp_path)
    (tmp_path / "rugged_data.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="is not the ruggedness data"):
        study.load_rugged(tmp_path)


def test_the_cache_and_being_offline(study, shared, tmp_path, monkeypatch):
    import urllib.error
    import urllib.request

    monkeypatch.delenv("PYROXENE_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def offline(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(DataError, match=r"cannot be downloaded.*no network") as caught:
        study.load_rugged()
    assert "PYROXENE_DATA_DIR" in str(caught.value)
    assert not list((tmp_path / "pyroxene" / "data").iterdir())

    content = (shared / "data" / "rugged_data.csv").read_bytes()
    answers = []

    class Answer:
        def __init__(self, *args, **kwargs):
            answers.append(args)

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            return None

        def read(self):
            return content

    monkeypatch.setattr(urllib.request, "urlopen", Answer)
    assert len(study.load_rugged().country) == 170
    assert len(study.load_rugged().country) == 170  # from the cache now
    assert len(answers) == 1
