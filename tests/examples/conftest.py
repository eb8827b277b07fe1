"""Loading examples as modules, and looking at the figures they write."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Return a function that imports an example by name."""
    for package, reason in (("matplotlib", "examples draw with matplotlib"),):
        pytest.importorskip(package, reason=reason)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    loaded = []

    def load(name):
        loaded.append(name)
        return importlib.import_module(name)

    yield load
    for name in [*loaded, "_figures"]:
        sys.modules.pop(name, None)


@pytest.fixture
def run_main(monkeypatch, capsys):
    """Return a function that runs an example's main and returns what it printed."""

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", ["example", *map(str, arguments)])
        module.main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def assert_figures():
    """Return a function that checks that PNG files are there and that something is drawn in each."""

    def check(folder, names):
        from matplotlib import image

        found = sorted(path.name for path in folder.glob("*.png"))
        assert found == sorted(f"{name}.png" for name in names)
        for name in found:
            pixels = image.imread(folder / name)
            assert min(pixels.shape[:2]) > 150, f"{name} is small"
            assert pixels[..., :3].std() > 0.02, f"{name} is blank"

    return check
