"""Every code line of the introduction runs, with `import pyroxene as pyro`."""

from __future__ import annotations

import re
import runpy
import warnings
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("introduction.py")

# Code of the text that is a heading, a fragment shown for its meaning, or a signature quoted from documentation.
QUOTED = {
    "def sample(",
    'pyro.sample("z_1", ...)',
    "def guide():",
    "def model():",
    "return dist.Normal(mean, sigma).sample()",
    "obs: typing.Optional[torch.Tensor] = None,",
    "infer: typing.Optional[dict] = None",
    "import pyro.distributions as dist",  # with pyroxene in the place of pyro
    "import pyro.distributions.constraints as constraints",
}
CODE = re.compile(
    r"^(import |from |def |with |for |if |return |loss|losses|adam|elbo|svi|auto_guide|pyro\.|plt\.|sns\.|fig|ax\[|df|"
    r"data =|DATA_URL|"
    r"african|non_african|predictions|\w+ = pyro\.|print\(|logging|mean = |y=|ax=|ylabel=|title=|constraint=|\")"
)


def normalised(line: str) -> str:
    return re.sub(r"\s+", "", line.partition(" # Consider")[0])


@pytest.fixture
def text(shared):
    return (shared / "reference" / "introduction_ko.txt").read_text(encoding="utf8")


def test_the_program_holds_every_code_line_of_the_text(text):
    ours = {normalised(line) for line in PROGRAM.read_text(encoding="utf8").splitlines()}
    wanted = [line.strip() for line in text.splitlines() if CODE.match(line.strip()) and line.isascii()]
    missing = [line for line in wanted if normalised(line) not in ours and line not in QUOTED]
    assert len(wanted) > 80
    assert missing == []


def test_it_runs(shared, monkeypatch, capsys):
    pd = pytest.importorskip("pandas", reason="the introduction reads its data with pandas")
    pytest.importorskip("seaborn", reason="the introduction draws with seaborn")
    pytest.importorskip("graphviz", reason="the introduction renders models")
    read_csv = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda url, **kwargs: read_csv(shared / "data" / "rugged_data.csv", **kwargs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' and matplotlib's advice to the text's author
        runpy.run_path(str(PROGRAM))
    printed = capsys.readouterr().out
    for name in ("a", "bA", "bR", "bAR", "sigma"):
        assert f"AutoNormal.locs.{name} " in printed and f"AutoNormal.scales.{name} " in printed
