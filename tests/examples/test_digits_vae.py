"""The third study: the networks learn, the minibatch loss is unbiased, and a run leaves its figures."""

from __future__ import annotations

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.optim import Adam


@pytest.fixture
def study(example):
    pytest.importorskip("sklearn", reason="the digits ship with scikit-learn")
    return example("digits_vae")


def images():
    from sklearn.datasets import load_digits

    return torch.tensor(load_digits().data, dtype=torch.float32) / 16


def test_a_quick_run_prints_and_draws(study, run_main, assert_figures, tmp_path):
    printed = run_main(study, "--quick", "--out", tmp_path)
    assert "1500 digits, 297 held out" in printed and str(tmp_path) in printed
    assert_figures(tmp_path, ("1_reconstructions", "2_latent_plane"))


def test_it_learns(study, capsys):
    """Twenty epochs cut the reconstruction error below that of the mean image."""
    pyro.set_rng_seed(0)
    data = images()
    vae = study.VAE()
    losses = study.train(vae, data[:1500], epochs=20, batch_size=256)
    assert losses[-1] < 0.7 * losses[0]
    held_out = data[1500:]
    error = (vae.reconstruct(held_out) - held_out).square().mean()
    mean_image_error = (data[:1500].mean(0) - held_out).square().mean()
    assert error < 0.9 * mean_image_error


def test_a_minibatch_is_scaled_to_the_whole(study):
    """With the noise fixed, batches of a tenth add up to ten times the full loss, divided over the batches."""
    pyro.set_rng_seed(0)
    data = images()[:100]
    vae = study.VAE()
    svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-3}), Trace_ELBO())

    def exact(batch, size):  # the noise is set to zero: the guide at its mean
        class Mean(pyro.poutine.Messenger):
            def _pyro_sample(self, msg):
                if msg["name"] == "z" and not msg["done"]:
                    msg["value"] = msg["fn"].base_dist.loc

        with Mean():
            return svi.evaluate_loss(batch, size)

    parts = [exact(batch, 100) for batch in data.split(10)]
    assert sum(parts) / len(parts) == pytest.approx(exact(data, 100), rel=1e-4)


def test_the_likelihood_is_binomial(study):
    image = images()[:3]
    logits = torch.randn(3, 64)
    counts = (image * 16).round()
    expected = torch.distributions.Binomial(16, logits=logits).log_prob(counts).sum()
    assert torch.allclose(dist.Binomial(16, logits=logits).to_event(1).log_prob(counts).sum(), expected)
