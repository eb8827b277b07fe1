"""Public data sets for the examples: found in a folder, in the cache, or downloaded, and always checked."""

from __future__ import annotations

import csv
import math
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pyroxene.errors import DataError

__all__ = ["Rugged", "load_rugged"]

RUGGED_URL = "https://d2hg8soec8ck9v.cloudfront.net/datasets/rugged_data.csv"
RUGGED_FILE = "rugged_data.csv"


@dataclass(frozen=True)
class Rugged:
    """Terrain and income of 170 nations; each tensor has shape (170,), float32.

    Attributes:
        is_cont_africa: 1 for a nation in Africa, else 0.
        ruggedness: Terrain Ruggedness Index, hundreds of metres.
        log_gdp: logarithm of real GDP per head in the year 2000, dollars.
        country: the nations' names.

    Source: N. Nunn, D. Puga (2012), Ruggedness: The blessing of bad geography in Africa, Review of Economics and
    Statistics 94(1), 20-36.
    """

    is_cont_africa: torch.Tensor
    ruggedness: torch.Tensor
    log_gdp: torch.Tensor
    country: tuple[str, ...]


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pyroxene" / "data"


def _download(url: str, path: Path, check: Callable[[Path], object]) -> Path:
    """Fetch a file into the cache; nothing is left there unless it passes its check."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=20) as answer:
            content = answer.read()
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
            part.write(content)
        check(Path(part.name))
        os.replace(part.name, path)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise DataError(
            f"{path.name} cannot be downloaded: {error}",
            expected=f"a connection to {url}, or the file in a folder of yours",
            got="no file",
            hint="download it elsewhere and give its folder: --data DIR, or the environment variable PYROXENE_DATA_DIR",
        ) from error
    return path


def _read_rugged(path: Path) -> Rugged:
    """Read and check the file: the public one (51 columns, ISO-8859-1) or a cut of it with the same columns."""
    wanted = ("country", "cont_africa", "rugged", "rgdppc_2000")
    with open(path, encoding="ISO-8859-1", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not set(wanted) <= set(rows[0]):
        raise DataError(
            f"{path} is not the ruggedness data", expected=f"columns {wanted}", got=list(rows[0]) if rows else "no rows"
        )
    known = [row for row in rows if row["rgdppc_2000"]]
    table = torch.tensor([[float(row[c]) for c in wanted[1:]] for row in known], dtype=torch.float64)
    africa, rugged, gdp = table.unbind(-1)
    facts = (len(rows), len(known), int(africa.sum()), round(rugged.sum().item(), 1), round(gdp.log().sum().item(), 1))
    if facts[:3] != (234, 170, 49) or not math.isclose(facts[4], 1447.9, abs_tol=0.1):
        raise DataError(
            f"{path} does not hold what it should",
            expected="234 rows, 170 with a GDP, 49 of them in Africa, and a sum of log GDP of 1447.9",
            got=f"{facts[0]} rows, {facts[1]} with a GDP, {facts[2]} in Africa, and a sum of log GDP of {facts[4]}",
            hint="delete the file, and let it be downloaded again",
        )
    return Rugged(africa.float(), rugged.float(), gdp.log().float(), tuple(row["country"] for row in known))


def load_rugged(data: str | os.PathLike[str] | None = None) -> Rugged:
    """Load terrain ruggedness and income of nations.

    Looks in the folder `data`; in the folder that the environment variable PYROXENE_DATA_DIR names; in the cache; and
    then downloads the public file into the cache. A file that is found is checked, not passed over.

    Args:
        data: a folder with rugged_data.csv.

    Raises:
        DataError: a named folder has no such file, the content is not right, or there is no connection.
    """
    for folder, origin in ((data, "--data"), (os.environ.get("PYROXENE_DATA_DIR"), "PYROXENE_DATA_DIR")):
        if folder:
            path = Path(folder) / RUGGED_FILE
            if not path.is_file():
                raise DataError(
                    f"{origin} names a folder without {RUGGED_FILE}",
                    expected=str(path),
                    got="no such file",
                    hint="another folder",
                )
            return _read_rugged(path)
    path = _cache_folder() / RUGGED_FILE
    return _read_rugged(path if path.is_file() else _download(RUGGED_URL, path, _read_rugged))
