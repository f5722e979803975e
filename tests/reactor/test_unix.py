"""Listening at a path."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from reactor import listen_unix


def test_path_of_a_server_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with listen_unix(path) as first, pytest.raises(OSError, match="in use"):
        listen_unix(path)
    assert first.fileno() < 0
    with listen_unix(path) as second, socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        second.accept()[0].close()


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    with pytest.raises(OSError, match="in use"):
        listen_unix(str(path))
    assert path.read_text() == "kept"
