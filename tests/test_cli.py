"""`python -m pyroxene`: `run` is plain python but for what `import pyro` means; every other command line is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyroxene import cli

ROOT = Path(__file__).resolve().parent.parent

SHOW = """\
import json, sys
import pyro
import pyroxene

def fail():
    raise ValueError("out of " + "eggs")

print(json.dumps({
    "argv": sys.argv, "path": sys.path[0], "file": __file__, "name": __name__, "package": __package__,
    "main": sys.modules["__main__"].__dict__ is globals(), "same": pyro is pyroxene,
}))
if "fail" in sys.argv:
    fail()
if "exit" in sys.argv:
    sys.exit(7)
"""
PLAIN = SHOW.replace("import pyro\n", "").replace("import pyroxene\n", "").replace("pyro is pyroxene", "True")


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a script that uses pyro, the same as plain python can run it, and a package of both."""
    for name, text in (("show.py", SHOW), ("plain.py", PLAIN)):
        for place in (tmp_path / "sub", tmp_path / "package"):
            place.mkdir(exist_ok=True)
            (place / name).write_text(text)
    (tmp_path / "package" / "__init__.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("sub/plain.py", "--help", "-x", "3", "--", "-m", "run"),
        ("sub/plain.py",),
        ("-m", "package.plain", "--version", "x"),
    ],
    ids=["options", "path", "module"],
)
def test_run_gives_a_program_what_python_gives_it(folder: Path, words: tuple[str, ...]):
    plain, ours = python(*words, cwd=folder), python("-m", "pyroxene", "run", *words, cwd=folder)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert ours.stdout == plain.stdout
    assert json.loads(ours.stdout)["main"]


def test_run_makes_pyro_mean_pyroxene(folder: Path):
    done = python("-W", "error", "-m", "pyroxene", "run", "sub/show.py", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["same"] is True


@pytest.mark.parametrize("words", [("sub/show.py",), ("-m", "package.show")], ids=["script", "module"])
def test_run_passes_exit_codes_and_clean_tracebacks_on(folder: Path, words: tuple[str, ...]):
    exit_code = python("-m", "pyroxene", "run", *words, "exit", cwd=folder)
    assert (exit_code.returncode, exit_code.stderr) == (7, "")
    failure = python("-m", "pyroxene", "run", *words, "fail", cwd=folder)
    assert failure.returncode == 1
    lines = failure.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert words[-1].split(".")[-1].removesuffix("py") in lines[1] and "in <module>" in lines[1]
    assert lines[-1] == "ValueError: out of eggs"
    assert "cli.py" not in failure.stderr and "runpy" not in failure.stderr


def test_run_shows_a_syntax_error_as_python_does(folder: Path):
    (folder / "wrong.py").write_text("x = (1,\n")
    plain, ours = python("wrong.py", cwd=folder), python("-m", "pyroxene", "run", "wrong.py", cwd=folder)
    assert (ours.returncode, ours.stderr) == (plain.returncode, plain.stderr)


def test_run_uses_the_hook_that_a_program_sets(folder: Path):
    (folder / "hook.py").write_text(
        "import sys\nsys.excepthook = lambda kind, error, trace: print(kind.__name__, trace.tb_lineno)\n1 / 0\n"
    )
    done = python("-m", "pyroxene", "run", "hook.py", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (1, "ZeroDivisionError 3\n", "")


def test_run_leaves_classes_of_a_script_picklable(folder: Path):
    (folder / "pickling.py").write_text(
        "import pickle\nclass A:\n    pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A, A.__module__)\n"
    )
    assert python("-m", "pyroxene", "run", "pickling.py", cwd=folder).stdout == "True __main__\n"


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("nope.py",), 2, "cannot open 'nope.py': No such file"),
        (("sub",), 2, "cannot open 'sub'"),
        (("-m", "package.nope"), 1, "no module named 'package.nope'"),
        (("-m", "nope.nope"), 1, "no module named 'nope.nope'"),
    ],
)
def test_run_says_in_one_line_what_it_cannot_find(folder: Path, words: tuple[str, ...], code: int, reason: str):
    done = python("-m", "pyroxene", "run", *words, cwd=folder)
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in done.stderr and done.stderr.count("\n") == 1


def test_run_tells_a_missing_module_from_a_missing_import(folder: Path):
    (folder / "package" / "needs.py").write_text("import nothing_of_this_name\n")
    done = python("-m", "pyroxene", "run", "-m", "package.needs", cwd=folder)
    assert done.returncode == 1
    assert "needs.py" in done.stderr and "ModuleNotFoundError: No module named 'nothing_of_this_name'" in done.stderr


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        cli.main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert all(f"{name} " in text and command.summary in text for name, command in cli.COMMANDS.items())


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        cli.main(["--version"])
    assert done.value.code == 0
    words = capsys.readouterr().out.split()
    assert words[0] == "pyroxene" and words[1][0].isdigit()


@pytest.mark.parametrize("words", [[], ["walk"], ["--walk"], ["run"], ["run", "-m"], ["run", "-x", "script.py"]])
def test_a_wrong_command_line_ends_with_code_2(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        cli.main(words)
    assert done.value.code == 2
    assert "usage: pyroxene" in capsys.readouterr().err


def test_the_words_of_a_script_are_not_eaten(monkeypatch: pytest.MonkeyPatch):
    seen: list[list[str]] = []
    monkeypatch.setitem(cli.COMMANDS, "try", cli.Command("try it", lambda words: seen.append(words) or 3))
    assert cli.main(["try", "--version", "-h", "--", "x"]) == 3
    assert seen == [["--version", "-h", "--", "x"]]
