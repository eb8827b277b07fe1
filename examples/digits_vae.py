"""A variational autoencoder on handwritten digits: a network inside a model, trained on minibatches.

The data are the 1797 digits that scikit-learn ships, 8 x 8 pixels (Alpaydin and Kaynak 1998, Optical recognition of
handwritten digits). Each image has a latent point in a plane; a decoder draws the image from the point, and an encoder,
the guide, finds the point of an image (Kingma and Welling 2014, Auto-encoding variational Bayes).

Run: python examples/digits_vae.py [--out DIR] [--seed N]
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from _figures import figure_folder, parser, plt, save
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.optim import Adam

PIXELS, SIDE, LATENT, HIDDEN = 64, 8, 2, 200


class Decoder(nn.Module):
    """From a latent point, shape (..., 2), to the logits of the pixels, shape (..., 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT, HIDDEN),
            nn.Softplus(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.Softplus(),
            nn.Linear(HIDDEN, PIXELS),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return pixel logits."""
        logits: torch.Tensor = self.layers(z)
        return logits


class Encoder(nn.Module):
    """From an image, shape (..., 64), to a normal distribution of its latent point: mean and standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(PIXELS, HIDDEN),
            nn.Softplus(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.Softplus(),
            nn.Linear(HIDDEN, 2 * LATENT),
        )

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation, shape (..., 2) each."""
        loc, raw = self.layers(image).chunk(2, dim=-1)
        return loc, nn.functional.softplus(raw) + 1e-4


class VAE(nn.Module):
    """Model and guide, on batches of images with pixel intensities in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()

    def model(self, image: torch.Tensor, full_size: int) -> None:
        """Draw a latent point for each image, then the image."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("images", full_size, subsample=range(len(image))):
            z = pyro.sample("z", dist.Normal(image.new_zeros(len(image), LATENT), 1.0).to_event(1))
            logits = self.decoder(z)
            # Intensities are binomial counts of 16 levels divided by 16.
            pixels = dist.Binomial(16, logits=logits).to_event(1)
            pyro.sample("image", pixels, obs=(image * 16).round())

    def guide(self, image: torch.Tensor, full_size: int) -> None:
        """Encode each image."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("images", full_size, subsample=range(len(image))):
            loc, scale = self.encoder(image)
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    @torch.no_grad()
    def reconstruct(self, image: torch.Tensor) -> torch.Tensor:
        """Return the mean image at the encoded mean, shape of `image`."""
        return self.decoder(self.encoder(image)[0]).sigmoid()


def train(vae: VAE, images: torch.Tensor, epochs: int, batch_size: int) -> list[float]:
    """Fit the networks; return the loss per image of each epoch, in nats."""
    svi = SVI(vae.model, vae.guide, Adam({"lr": 2e-3}), Trace_ELBO())
    loader = DataLoader(TensorDataset(images), batch_size=batch_size, shuffle=True)
    losses = []
    for epoch in range(epochs):
        epoch_losses = [svi.step(batch, len(images)) / len(images) for (batch,) in loader]
        losses.append(sum(epoch_losses) / len(epoch_losses))
        if epoch % max(epochs // 10, 1) == 0 or epoch == epochs - 1:
            print(f"  epoch {epoch:4d}  loss per image {losses[-1]:8.3f} nats")
    return losses


def figure_reconstructions(folder: Path, vae: VAE, images: torch.Tensor, labels: torch.Tensor) -> Path:
    """Draw images that were not trained on, above what the decoder makes of their codes."""
    rows = [int((labels == digit).nonzero()[0]) for digit in range(10)]
    shown = images[rows]
    figure, axes = plt.subplots(2, 10, figsize=(9.6, 2.4))
    for column in range(10):
        for axis, image in zip(axes[:, column], (shown[column], vae.reconstruct(shown[column])), strict=True):
            axis.imshow(image.reshape(SIDE, SIDE), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.grid(visible=False)
    axes[0, 0].set_ylabel("held out", rotation=90)
    axes[1, 0].set_ylabel("rebuilt", rotation=90)
    figure.suptitle(
        "Ten images that the networks never saw, and their reconstructions from two numbers", x=0.01, ha="left"
    )
    return save(figure, folder, "1_reconstructions")


@torch.no_grad()
def figure_plane(folder: Path, vae: VAE, images: torch.Tensor, labels: torch.Tensor) -> Path:
    """Draw where the images lie in the latent plane, and what the decoder draws across it."""
    codes = vae.encoder(images)[0]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 5.0))
    colours = plt.get_cmap("tab10")
    left.scatter(codes[:, 0], codes[:, 1], c=labels, cmap="tab10", s=7, alpha=0.45, lw=0)
    for digit in range(10):
        middle = codes[labels == digit].median(0).values
        left.text(
            *middle.tolist(),
            str(digit),
            fontsize=15,
            weight="bold",
            ha="center",
            va="center",
            color=colours(digit),
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": colours(digit), "alpha": 0.85},
        )
    left.set(
        xlabel="first coordinate", ylabel="second coordinate", aspect="equal", title="Where the encoder puts each image"
    )
    steps = 12
    levels = 3 * torch.linspace(-1, 1, steps)
    grid = torch.stack(torch.meshgrid(levels, levels.flip(0), indexing="xy"), -1)
    tiles = nn.functional.pad(vae.decoder(grid).sigmoid().reshape(steps, steps, SIDE, SIDE), (1, 1, 1, 1))
    drawn = tiles.permute(0, 2, 1, 3).reshape(steps * (SIDE + 2), -1)
    right.imshow(drawn, cmap="gray_r", vmin=0, vmax=1)
    right.set(
        xticks=[],
        yticks=[],
        xlabel="first coordinate",
        ylabel="second coordinate",
        title="What the decoder draws, from -3 to 3",
    )
    right.grid(visible=False)
    return save(figure, folder, "2_latent_plane")


def main() -> None:
    """Train, test on held-out images, draw, and say where the figures are."""
    options = parser(__doc__, "digits_vae").parse_args()
    began = time.perf_counter()
    torch.set_num_threads(1)
    pyro.clear_param_store()
    pyro.set_rng_seed(options.seed)
    folder = figure_folder(options.out)
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    held_out, used = order[:297], order[297:]

    vae = VAE()
    print(f"Training on {len(used)} digits, {len(held_out)} held out")
    losses = train(vae, images[used], epochs=2 if options.quick else 600, batch_size=256)
    svi = SVI(vae.model, vae.guide, Adam({"lr": 1e-3}), Trace_ELBO(num_particles=10))
    test_loss = svi.evaluate_loss(images[held_out], len(held_out)) / len(held_out)
    error = (vae.reconstruct(images[held_out]) - images[held_out]).square().mean().sqrt()
    print(f"loss per image: {losses[-1]:.2f} nats in training, {test_loss:.2f} on held-out images")
    print(f"reconstruction error of held-out images: {error:.3f} of the intensity range")
    figures = [
        figure_reconstructions(folder, vae, images[held_out], labels[held_out]),
        figure_plane(folder, vae, images, labels),
    ]
    print(f"Done in {time.perf_counter() - began:.1f} s. Figures: {folder}")
    for figure in figures:
        print(f"  {figure.name}")


if __name__ == "__main__":
    main()
