"""What the browser is given: the files of the page, the table of commands, and their headers.

Out: answers as bytes. They are the same for all browsers, except that the policy names the host by
which the page was asked for: an older Safari does not count ws: as 'self' (Content Security Policy
3, 6.7.2.8).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from codec import handshake
from codec.commands import COMMANDS, MESSAGE_USAGE
from codec.text import SHORTCUTS

FOLDER = Path(__file__).resolve().parent / "page"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)

_HEADERS = (
    "X-Content-Type-Options: nosniff",
    "X-Frame-Options: DENY",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Opener-Policy: same-origin",
    "Cross-Origin-Resource-Policy: same-origin",
    "Connection: close",
)


class Asset(NamedTuple):
    """The file at one path."""

    content_type: str
    body: bytes
    tag: str
    """As in ETag, with its quotation marks."""


def load_assets() -> dict[str, Asset]:
    """Path -> the file there. Raises OSError for a file that cannot be read."""
    assets = {f"/{path.name}": _asset(_TYPES[path.suffix], path.read_bytes()) for path in _files()}
    assets["/"] = assets.pop("/index.html")
    table = json.dumps(_command_table(), ensure_ascii=False, separators=(",", ":"))
    assets["/commands.json"] = _asset("application/json", table.encode())
    assets["/health"] = _asset("text/plain; charset=utf-8", b"ok\n")._replace(tag="")
    return assets


def format_answer(
    status: HTTPStatus,
    asset: Asset | None = None,
    *,
    host: str = "",
    more: Iterable[str] = (),
    has_body: bool = True,
) -> bytes:
    """A whole answer, after which the connection ends: `asset`, or the status in words. `host`
    is a checked Host header."""
    if asset is None:
        asset = Asset("text/plain; charset=utf-8", f"{status.phrase}\n".encode(), "")
    is_empty = status is HTTPStatus.NOT_MODIFIED
    fields = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *([f"ETag: {asset.tag}"] if asset.tag else []),
        "Cache-Control: " + ("no-cache" if asset.tag else "no-store"),
        "Content-Security-Policy: " + _POLICY.format(host=host or "localhost"),
        *_HEADERS,
        *more,
    ]
    if not is_empty:
        fields += [f"Content-Type: {asset.content_type}", f"Content-Length: {len(asset.body)}"]
    head = "\r\n".join(fields).encode("ascii") + b"\r\n\r\n"
    return head if is_empty or not has_body else head + asset.body


def _files() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path.suffix in _TYPES)


def _asset(content_type: str, body: bytes) -> Asset:
    return Asset(content_type, body, f'"{sha256(body).hexdigest()[:16]}"')


def _command_table() -> object:
    """The commands, in their order, and the words that are replaced: what the page offers."""
    return {
        "commands": [{"word": row.word, "help": row.help} for row in COMMANDS],
        "shortcuts": [{"word": word, "help": help_text} for word, help_text in SHORTCUTS.items()],
        "message_usage": MESSAGE_USAGE,
        "username_characters": handshake.MAX_USERNAME_CHARACTERS,
        "join_bytes": handshake.MAX_JOIN_BYTES,
    }
