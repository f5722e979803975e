"""`python3 -m tools.diagram FILE > session.svg`; `--page` for a page that shows all bytes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from tools.diagram.ladder import Builder, read_events
from tools.diagram.svg import draw, draw_page


def main() -> None:
    parser = ArgumentParser("python3 -m tools.diagram", description="Draws a trace as SVG.")
    parser.add_argument("file", metavar="FILE", help="written by -trace; - for standard input")
    parser.add_argument("--page", action="store_true", help="a page that shows all bytes")
    options = parser.parse_args()
    try:
        data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
        ladder = Builder(read_events(data.decode())).ladder
    except OSError as error:
        parser.exit(1, f"error: {options.file}: {error.strerror}\n")
    except ValueError as error:
        parser.exit(1, f"error: {options.file}: {error}\n")
    sys.stdout.buffer.write((draw_page if options.page else draw)(ladder).encode())


if __name__ == "__main__":
    main()
