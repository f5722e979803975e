"""Whether a client can draw here: `python3 -m tools.interface`, which `make chat` asks.

It ends with status 0 where `-ui line` is possible; otherwise it says why not, with status 1.
"""

from __future__ import annotations

import sys

from cli.flags import complain, lack_of_terminal
from terminal.readline_binding import UnsupportedError, load


def main() -> int:
    lack = lack_of_terminal()
    try:
        load()
    except UnsupportedError as error:
        lack = lack or str(error)
    if lack:
        complain(f"note: shown plain, since {lack}")
    return bool(lack)


if __name__ == "__main__":
    sys.exit(main())
