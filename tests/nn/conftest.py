"""Every test begins and ends with an empty parameter store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyroxene import clear_param_store


@pytest.fixture(autouse=True)
def empty_param_store() -> Iterator[None]:
    clear_param_store()
    yield
    clear_param_store()
