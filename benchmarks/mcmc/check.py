"""Hold the log densities and gradients of all peers equal to pyroxene's eager ones at random points.

Usage: python benchmarks/mcmc/check.py [--posterior all] [--numpyro PYTHON] [--pymc PYTHON] [--stan PYTHON]
           [--pyro PYTHON]

Points lie in unconstrained space, which all peers map to the supports alike. A peer may drop constants, so log
densities are compared as differences from the first point's. Exit status 1 where a peer disagrees.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import posteriors
from run import PEERS, Subject, start

POINTS = 5
LIMIT = 1e-8


def make_points(name: str, path: Path) -> None:
    """Write unconstrained points near the starting points of a sampler, by site."""
    import torch

    from pyroxene.density import log_density

    torch.set_default_dtype(torch.float64)
    module = posteriors.load(name)
    data = {key: torch.as_tensor(value) for key, value in module.data().items()}
    random = np.random.default_rng(1)
    points = {}
    for slot in log_density(module.pyroxene_model(), **data).layout.slots:
        points[slot.name] = 0.5 * random.normal(size=(POINTS, *slot.shape))
    np.savez(path, **points)


def compare(ours: Path, theirs: Path) -> tuple[float, float]:
    """Return the largest difference of log densities and of gradients, each relative to the largest size of ours."""
    with np.load(ours) as a, np.load(theirs) as b:
        worst = []
        first, second = a["value"] - a["value"][0], b["value"] - b["value"][0]
        worst.append(np.abs(first - second).max() / max(1.0, np.abs(a["value"]).max()))
        keys = [key for key in a.files if key != "value"]
        size = max(np.abs(a[key]).max() for key in keys)
        worst.append(max(np.abs(a[key] - b[key].reshape(a[key].shape)).max() for key in keys) / max(1.0, size))
    return float(worst[0]), float(worst[1])


def main() -> None:
    """Check what was asked for."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--posterior", default="all")
    command.add_argument("--pyroxene", default=sys.executable)
    for peer in ("numpyro", "pymc", "stan", "pyro"):
        command.add_argument(f"--{peer}", metavar="PYTHON")
    options = command.parse_args()
    names = posteriors.NAMES if options.posterior == "all" else options.posterior.split(",")
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in names:
            np.savez(folder / f"{name}.npz", **posteriors.load(name).data())
            make_points(name, folder / "points.npz")
            wanted = [Subject("pyroxene", "", options.pyroxene)]
            if hasattr(posteriors.load(name), "pyroxene_loop"):
                wanted.append(Subject("pyroxene", "loop", options.pyroxene))
            for peer in PEERS[1:]:
                python = getattr(options, "pymc" if peer == "nutpie" else peer)
                if python is not None:
                    wanted.append(Subject(peer, "", python))
            ours = None
            for subject in wanted:
                found = start(subject, name, "density", folder, points=folder / "points.npz")
                if not found:
                    failed = True
                elif ours is None:
                    ours = Path(found["density"])
                else:
                    value, gradient = compare(ours, Path(found["density"]))
                    agree = value < LIMIT and gradient < LIMIT
                    failed |= not agree
                    verdict = "agrees" if agree else "DISAGREES"
                    print(
                        f"{name:<26}{subject.name:<16}value {value:.1e}  gradient {gradient:.1e}  {verdict}", flush=True
                    )
    sys.exit(failed)


if __name__ == "__main__":
    main()
