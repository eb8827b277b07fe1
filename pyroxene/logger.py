"""The package's logger, and `log`: messages for the user that a program can silence or redirect."""

from __future__ import annotations

import logging

__all__ = ["log"]

log = logging.getLogger("pyroxene")
log.addHandler(logging.NullHandler())
