"""Make reference figures by long runs of a peer for posteriors that posteriordb has none for.

Usage: python benchmarks/mcmc/make_references.py --pymc PYTHON [--posterior NAME,...] [--draws 10000] [--seeds 2]

nutpie runs 4 chains of 2000 + `draws` for each seed; means and means of squares with their standard errors go to
`references/NAME.json`. A posterior whose R-hat passes 1.01 gets none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import posteriors
from measures import potential_scale_reduction
from reference import FOLDER, components, moments
from run import Subject, start


def main() -> None:
    """Make what was asked for."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--pymc", metavar="PYTHON", required=True)
    command.add_argument("--posterior", default="all")
    command.add_argument("--draws", type=int, default=10_000)
    command.add_argument("--seeds", type=int, default=2)
    options = command.parse_args()
    without = [name for name in posteriors.NAMES if not hasattr(posteriors.load(name), "REFERENCE")]
    names = without if options.posterior == "all" else options.posterior.split(",")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in names:
            np.savez(folder / f"{name}.npz", **posteriors.load(name).data())
            found = start(
                Subject("nutpie", "", options.pymc),
                name,
                "warm",
                folder,
                warmup=2000,
                draws=options.draws,
                seeds=options.seeds,
                first_seed=100,
            )
            if not found:
                continue
            parts = []
            for run in found["runs"]:
                with np.load(run["file"]) as stored:
                    parts.append(components(name, {key: stored[key] for key in stored.files}))
            together = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            rhat = max(potential_scale_reduction(column) for column in together.values())
            print(f"{name}: R-hat {rhat:.4f}", flush=True)
            if rhat < 1.01:
                figures = {key: moments(column) for key, column in together.items()}
                (FOLDER / f"{name}.json").write_text(json.dumps(figures, indent=0) + "\n")


if __name__ == "__main__":
    main()
