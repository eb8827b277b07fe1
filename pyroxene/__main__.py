"""`python -m pyroxene` and the console script `pyroxene` are the same program."""

from __future__ import annotations

import sys

from pyroxene.cli import main

if __name__ == "__main__":
    sys.exit(main())
