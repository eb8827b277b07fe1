"""The table of docs/distributions.md is as new as the package: every class is in it, and every picture is there."""

from __future__ import annotations

import re
from pathlib import Path

import torch.distributions as torchdist

import pyroxene.distributions as dist

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "distributions.md").read_text(encoding="utf-8")
AGAIN = "run `PYTHONPATH=. python scripts/document_distributions.py`"


def test_table_names_every_class():
    public = (getattr(dist, name) for name in dist.__all__)
    names = {each.__name__ for each in public if isinstance(each, type) and issubclass(each, torchdist.Distribution)}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == names, AGAIN


def test_pictures_are_those_that_the_table_shows():
    shown = set(re.findall(r"\]\((distributions/\w+\.png)\)", PAGE))
    there = {path.relative_to(DOCS).as_posix() for path in (DOCS / "distributions").glob("*.png")}
    assert shown == there, AGAIN
    assert len(there) > 50
