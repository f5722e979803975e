"""`python3 -m grader DIR`, or `python3 path/to/grader DIR`: grade the server.py and client.py in
DIR. `-h` tells the rest."""

from __future__ import annotations

import os
import sys

if not __package__:
    # Started by its path: the folder itself is first, where our modules have no package.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from grader.command import main, put_right

if __name__ == "__main__":
    put_right()
    sys.exit(main())
