"""What the tests share beyond the doctests: the folder of reference data, and what is no test."""

from __future__ import annotations

from pathlib import Path

import pytest

collect_ignore = ["introduction.py"]  # a program, run by test_introduction.py

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data and of Pyro's interface; a clone on a user's machine has none beside it."""
    if not SHARED.is_dir():
        pytest.skip("the folder of reference data, ../shared, is not beside this clone")
    return SHARED
