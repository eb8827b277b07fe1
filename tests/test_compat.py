"""Pyro's module paths: every row of the table, and `import pyro` in processes of their own."""

import importlib
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

import pyroxene
from pyroxene import compat

ROOT = Path(__file__).resolve().parent.parent
API = ROOT.parent / "shared" / "api" / "pyro_api.json"


@pytest.fixture(autouse=True)
def paths_are_installed():
    compat.install_paths()


@pytest.mark.parametrize(("path", "homes"), compat.deep_paths().items(), ids=compat.deep_paths())
def test_each_name_of_a_deep_path_is_the_one_of_its_home(path: str, homes: dict[str, str]):
    module = importlib.import_module(path)
    for name, home in homes.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)
    assert set(homes) <= set(dir(module))
    package, _, leaf = path.rpartition(".")
    assert getattr(importlib.import_module(package), leaf) is module, "the path hides a name of its package"


@pytest.mark.parametrize("path", compat.deep_paths())
def test_no_row_stands_for_a_file(path: str):
    package, _, leaf = path.rpartition(".")
    for folder in importlib.import_module(package).__path__:
        assert not (Path(folder) / f"{leaf}.py").exists() and not (Path(folder) / leaf).exists()


LATER = {
    "pyroxene.infer.enum": {"config_enumerate", "iter_discrete_escape", "iter_discrete_extend", "iter_discrete_traces"},
}
"""Names that a row lacks because nothing in the package answers to them yet."""


def test_the_table_has_the_names_that_pyro_has_there():
    if not API.exists():
        pytest.skip("the list of Pyro's names stands beside the checkout, and is not here")
    api = json.loads(API.read_text())
    for path, homes in compat.deep_paths().items():
        missing = set(api.get("pyro" + path.removeprefix("pyroxene"), {})) - set(homes)
        assert missing == LATER.get(path, set()), path


def test_a_deep_path_is_a_view_of_its_homes(monkeypatch: pytest.MonkeyPatch):
    from pyroxene import rng
    from pyroxene import util as view

    assert "set_rng_seed" in view.__all__
    original = rng.set_rng_seed
    with monkeypatch.context() as patched:
        patched.setattr(view, "set_rng_seed", "changed")
        assert rng.set_rng_seed == "changed"
    assert rng.set_rng_seed is original is view.set_rng_seed
    with mock.patch.object(view, "set_rng_seed", "changed"):
        assert rng.set_rng_seed == "changed"
    assert rng.set_rng_seed is original
    view.own = 1
    assert view.own == 1 and not hasattr(rng, "own")
    del view.own
    with pytest.raises(AttributeError, match=r"pyroxene\.util.*nothing"):
        _ = view.nothing
    assert importlib.reload(view) is view


def test_installing_paths_twice_adds_one_finder_that_leaves_real_modules_alone():
    before = list(sys.meta_path)
    compat.install_paths()
    assert sys.meta_path == before
    spec = importlib.util.find_spec("pyroxene.poutine.messenger")
    assert spec is not None and spec.origin is not None and spec.origin.endswith("messenger.py")
    assert importlib.util.find_spec("pyroxene.poutine.no_such_messenger") is None


def test_register_pyroapi():
    pyroapi = pytest.importorskip("pyroapi", reason="pyro-api is not installed")
    compat.register_pyroapi()
    with pyroapi.pyro_backend("pyroxene"):
        assert pyroapi.pyro.sample is pyroxene.sample
        assert pyroapi.handlers.block is pyroxene.poutine.block


def test_register_pyroapi_without_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyroapi", None)
    monkeypatch.setitem(sys.modules, "pyroapi.dispatch", None)
    with pytest.raises(ImportError, match="pip install pyro-api"):
        compat.register_pyroapi()


# ------------------------------------------------------------------------------- import pyro, each in its own process


def python(code: str, *options: str, folder: Path = ROOT) -> str:
    """Run code in a new process, with warnings as errors; what it prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", *options, "-c", code]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_form_of_import_gives_the_same_objects():
    python(
        """
import sys
from pyroxene import compat
compat.install()
import pyro, pyroxene
import pyro.distributions as dist
import pyro.distributions.transforms as transforms
import pyro.poutine.runtime
import pyro.contrib.minipyro
from pyro.infer import SVI, Trace_ELBO
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.block_messenger import BlockMessenger
import pyro.poutine.block_messenger as deep
from pyro import poutine
assert pyro is pyroxene
assert dist is pyroxene.distributions and poutine is pyroxene.poutine
assert sys.modules["pyro.poutine"] is pyroxene.poutine is pyro.poutine
assert SVI is pyroxene.infer.SVI
assert _PYRO_STACK is pyroxene.poutine.runtime._PYRO_STACK
assert deep is sys.modules["pyroxene.poutine.block_messenger"]
assert BlockMessenger is type(pyroxene.poutine.block(hide=["x"]))
assert sys.modules["pyro.contrib.minipyro"] is sys.modules["pyroxene.contrib.minipyro"]
assert pyro.__name__ == pyro.__spec__.name == "pyroxene"
assert pyro.contrib.minipyro.__spec__.name == pyro.contrib.minipyro.__name__ == "pyroxene.contrib.minipyro"
assert dist.__spec__.name == "pyroxene.distributions" and deep.__spec__.name == deep.__name__
twice = [n for n in sys.modules if n.startswith("pyro.") and sys.modules[n] is not sys.modules["pyroxene" + n[4:]]]
assert not twice, twice
"""
    )


def test_a_module_that_is_loaded_later_has_both_names_and_hides_nothing():
    python(
        """
import importlib, pkgutil, sys
from pyroxene import compat
compat.install()
import pyro, pyroxene
skipped = {"pyro.__main__"}
names = [m.name for m in pkgutil.walk_packages(pyro.__path__, "pyro.") if m.name not in skipped]
ours = {n: m for n, m in sys.modules.items() if n.startswith("pyroxene")}
before = {n: {k: v for k, v in vars(m).items() if callable(v)} for n, m in ours.items()}
assert len(names) > 50
for name in names:
    assert importlib.import_module(name) is importlib.import_module("pyroxene" + name[4:]), name
for name, values in before.items():
    changed = [k for k, v in values.items() if getattr(sys.modules[name], k) is not v]
    assert not changed, (name, changed)
"""
    )


def test_a_missing_submodule_is_named_as_the_user_wrote_it():
    python(
        """
import importlib, importlib.util
from pyroxene import compat
compat.install()
for name in ("pyro.infer.mcmc2", "pyro.nothing", "pyro.poutine.block_messenger.deeper"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert error.name == name and str(error).startswith(f"No module named {name!r}; "), error
    else:
        raise AssertionError(name)
try:
    import pyro.infer.mcmc2
except ModuleNotFoundError as error:
    assert str(error) == "No module named 'pyro.infer.mcmc2'; pyroxene has no 'pyroxene.infer.mcmc2'", error
try:
    from pyro.infer import nothing
except ImportError as error:
    assert "nothing" in str(error)
assert importlib.util.find_spec("pyro.nothing") is None
assert importlib.util.find_spec("pyro.infer.mcmc2") is None
assert importlib.util.find_spec("pyro") is not None
assert importlib.util.find_spec("pyro.contrib.minipyro").origin.endswith("minipyro.py")
assert importlib.util.find_spec("pyro.poutine.mask_messenger") is not None
"""
    )


def test_reload_works_under_both_names():
    python(
        """
import importlib, sys
from pyroxene import compat
compat.install()
import pyro.settings, pyro.poutine.mask_messenger
for module in (pyro.settings, pyro.poutine.mask_messenger, pyro):
    assert importlib.reload(module) is module
compat = importlib.reload(compat)
compat.install()
compat.install_paths()
kinds = [type(f).__name__ for f in sys.meta_path]
assert kinds.count("_PyroFinder") == kinds.count("_DeepPathFinder") == 1
assert kinds[0] == "_PyroFinder" and sys.modules["pyro.settings"] is sys.modules["pyroxene.settings"]
"""
    )


def test_installing_is_harmless_twice_and_can_be_undone():
    python(
        """
import importlib.util, sys
from pyroxene import compat
compat.uninstall()
finders, names = list(sys.meta_path), set(sys.modules)
compat.install(); compat.install()
import pyro.contrib.minipyro
compat.uninstall(); compat.uninstall()
assert sys.meta_path == finders
assert not [n for n in sys.modules if n == "pyro" or n.startswith("pyro.")]
assert "pyroxene.contrib.minipyro" in sys.modules
"""
    )


def test_another_package_of_the_name_is_a_conflict_only_once_imported(tmp_path: Path):
    (tmp_path / "pyro.py").write_text("mine = True\n")
    python(
        """
import sys
sys.path.insert(0, ".")
from pyroxene import compat
from pyroxene.errors import PyroxeneError
compat.install()
import pyro
assert not hasattr(pyro, "mine")
compat.uninstall()
del pyro
import pyro
assert pyro.mine
try:
    compat.install()
except ImportError as error:
    assert isinstance(error, PyroxeneError) and "pyro.py" in str(error) and "try:" in str(error), error
else:
    raise AssertionError
compat.uninstall()
assert sys.modules["pyro"] is pyro
""",
        folder=tmp_path,
    )


def test_pickles_that_name_modules_of_pyro_load():
    by_name = b"cpyro.poutine.runtime\nNonlocalExit\n."
    by_deep_name = b"cpyro.distributions.empirical\nEmpirical\n."
    compat.install()
    try:
        assert pickle.loads(by_name) is pyroxene.poutine.runtime.NonlocalExit
        assert pickle.loads(by_deep_name) is pyroxene.distributions.Empirical
    finally:
        compat.uninstall()


def test_importing_pyroxene_alone_makes_deep_paths_importable_and_leaves_pyro_alone():
    python(
        """
import sys
import pyroxene
assert "pyro" not in sys.modules
from pyroxene.poutine.block_messenger import BlockMessenger
import pyroxene.util
assert pyroxene.util.set_rng_seed is pyroxene.set_rng_seed
"""
    )
