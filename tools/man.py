"""The manual pages, from the parsers: `python -m tools.man` writes service/man/*.1."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from argparse_manpage.manpage import Manpage

import client
import server
from cli.flags import VERSION, client_parser, server_parser

FOLDER = Path(__file__).parent.parent / "service" / "man"


def pages() -> dict[Path, str]:
    """Each page, and the file where it is kept."""
    return {
        FOLDER / "chatroom-server.1": _page(
            server_parser(server.FEATURES), "server.py", "chatroom-server", "serve a chat room"
        ),
        FOLDER / "chatroom.1": _page(
            client_parser(client.FEATURES), "client.py", "chatroom", "join a chat room"
        ),
    }


def _page(parser: ArgumentParser, file: str, command: str, summary: str) -> str:
    parser.prog = command
    parser.usage = str(parser.usage).replace(f"python3 {file}", command)
    parser.epilog = str(parser.epilog).replace(f"python3 {file}", command)
    about = {
        "project_name": "chatroom",
        "manual_title": "Chatroom",
        "description": summary,
        "date": f"version {VERSION}",
    }
    return f"{Manpage(parser, _data=about)}\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
