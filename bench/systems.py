"""What is measured: how each system is started, and what its members send and receive.

A *voice* is the connection that a member talks on. With publish and subscribe it is another one
than the member listens on; everywhere else it is the same.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.tls import CERTIFICATE

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"


class Dialect:
    """The chat's own, which the peers written here speak as well. `name` and `text` are bytes."""

    hears_itself = False
    has_own_voice = False

    def join(self, name: bytes) -> bytes:
        return b"JOIN %s abc12\n" % name

    joined = b"OK\n"

    def say(self, name: bytes, text: bytes) -> bytes:
        return b"%s\n" % text

    def heard(self, name: bytes, text: bytes) -> bytes:
        return b"%s: %s\n" % (name, text)


class Relay(Dialect):
    """It does not know who says it, so the talker says it: what is delivered is the same."""

    def say(self, name: bytes, text: bytes) -> bytes:
        return self.heard(name, text)


class Redis(Dialect):
    """RESP: one subscription each, and a connection beside it to publish on."""

    hears_itself = True
    has_own_voice = True
    joined = b":1\r\n"

    def join(self, name: bytes) -> bytes:
        return b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nroom\r\n"

    def say(self, name: bytes, text: bytes) -> bytes:
        said = b"%s: %s" % (name, text)
        return b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%d\r\n%s\r\n" % (len(said), said)

    def heard(self, name: bytes, text: bytes) -> bytes:
        said = b"%s: %s" % (name, text)
        return b"*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$%d\r\n%s\r\n" % (len(said), said)


class Nats(Dialect):
    """The NATS protocol, asked not to echo."""

    joined = b"PONG\r\n"

    def join(self, name: bytes) -> bytes:
        return b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\nSUB room 1\r\nPING\r\n'

    def say(self, name: bytes, text: bytes) -> bytes:
        said = b"%s: %s" % (name, text)
        return b"PUB room %d\r\n%s\r\n" % (len(said), said)

    def heard(self, name: bytes, text: bytes) -> bytes:
        said = b"%s: %s" % (name, text)
        return b"MSG room 1 %d\r\n%s\r\n" % (len(said), said)


class Irc(Dialect):
    """RFC 1459, one channel."""

    joined = b" 366 "

    def join(self, name: bytes) -> bytes:
        return b"NICK %s\r\nUSER %s 0 * :%s\r\nJOIN #room\r\n" % (name, name, name)

    def say(self, name: bytes, text: bytes) -> bytes:
        return b"PRIVMSG #room :%s\r\n" % text

    def heard(self, name: bytes, text: bytes) -> bytes:
        return b":%s!~%s@127.0.0.1 PRIVMSG #room :%s\r\n" % (name, name, text)


class System(NamedTuple):
    """A server to measure.

    `start` makes its command from a port and a folder of its own. `needs` is the program or module
    without which it cannot run. `max_flight_bytes`: the most that may be under way to one member,
    for a server that has a limit which cannot be raised and cuts a member that is beyond it.
    `joins_in_flight`: how many may join at once when it is not joining that is measured.
    `is_tls`: it speaks TLS alone, which some works are for.
    """

    name: str
    dialect: Dialect
    start: Callable[[int, Path], Sequence[str]]
    needs: str = ""
    max_flight_bytes: int = 0
    joins_in_flight: int = 256
    is_tls: bool = False

    @property
    def is_here(self) -> bool:
        if not self.needs:
            return True
        if shutil.which(self.needs) or Path("/usr/sbin", self.needs).exists():
            return True
        return importlib.util.find_spec(self.needs) is not None


def _peer(script: str, *options: str) -> Callable[[int, Path], Sequence[str]]:
    return lambda port, folder: [sys.executable, str(PEERS / script), str(port), *options]


def _chatroom(port: int, folder: Path) -> Sequence[str]:
    flags = ["-start", "-port", str(port), "-passcode", "abc12"]
    return [sys.executable, str(ROOT / "server.py"), *flags]


def _chatroom_tls(port: int, folder: Path) -> Sequence[str]:
    return [*_chatroom(port, folder), "-tls-cert", CERTIFICATE, "-tls-key", CERTIFICATE]


def _stunnel(port: int, folder: Path) -> Sequence[str]:
    """In front of the chat room without TLS, which dies with it. Its own CPU time alone is seen."""
    config, path = folder / "stunnel.conf", folder / "room"
    config.write_text(
        f"foreground = yes\npid =\nsyslog = no\ndebug = 0\n[room]\naccept = 127.0.0.1:{port}\n"
        f"connect = {path}\ncert = {CERTIFICATE}\n"
    )
    room = [*_chatroom(port, folder), "-listen", str(path)]
    wait = f"while [ ! -S {path} ]; do sleep 0.05; done"
    start = f"setpriv --pdeathsig KILL {shlex.join(room)} & {wait}; exec stunnel {config}"
    return ["sh", "-c", start]


def _redis(port: int, folder: Path) -> Sequence[str]:
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "save": "",
        "appendonly": "no",
        "maxclients": "12000",
        "client-output-buffer-limit": "pubsub 0 0 0",
        "tcp-backlog": "1024",
        "dir": str(folder),
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", *value.split(" "))]
    return ["redis-server", *words]


def _nats(port: int, folder: Path) -> Sequence[str]:
    config = folder / "nats.conf"
    config.write_text(
        f'host: "127.0.0.1"\nport: {port}\nmax_connections: 20000\n'
        'max_pending: 1GB\nwrite_deadline: "60s"\n'
    )
    return ["nats-server", "-c", str(config), "-l", str(folder / "log")]


def _ngircd(port: int, folder: Path) -> Sequence[str]:
    config = folder / "ngircd.conf"
    config.write_text(
        f"[Global]\nName = irc.example.net\nInfo = bench\nListen = 127.0.0.1\nPorts = {port}\n"
        f"PidFile = {folder}/pid\nServerUID = root\nServerGID = root\n"
        "[Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxJoins = 0\nMaxPenaltyTime = 0\n"
        "MaxNickLength = 9\nMaxListSize = 0\nPingTimeout = 600\n"
        "[Options]\nDNS = no\nIdent = no\nPAM = no\nMorePrivacy = no\nSyslogFacility = local1\n"
        "[Channel]\nName = #room\nModes = P\n"
    )
    return ["/usr/sbin/ngircd", "-n", "-f", str(config)]


SYSTEMS = (
    System("chatroom", Dialect(), _chatroom),
    System("chatroom, TLS", Dialect(), _chatroom_tls, is_tls=True),
    System("stunnel", Dialect(), _stunnel, "stunnel", is_tls=True),
    System("relay", Relay(), _peer("relay.py")),
    System("redis", Redis(), _redis, "redis-server"),
    System("nats", Nats(), _nats, "nats-server"),
    System("twisted", Dialect(), _peer("twisted_chat.py"), "twisted"),
    System("ngircd", Irc(), _ngircd, "ngircd", max_flight_bytes=24 * 1024, joins_in_flight=8),
    System("asyncio", Dialect(), _peer("asyncio_protocol.py")),
    System("streams", Dialect(), _peer("asyncio_streams.py")),
    System("uvloop", Dialect(), _peer("asyncio_protocol.py", "--uvloop"), "uvloop"),
    System("threads", Dialect(), _peer("threads.py")),
    System("asyncio, announcing", Dialect(), _peer("asyncio_protocol.py", "--announce")),
    System("streams, announcing", Dialect(), _peer("asyncio_streams.py", "--announce")),
)
