"""The command lines of both programs: what each always takes. A feature adds its own flags.

In: an argument vector. Out: the values of the flags, checked; or one line on standard error and
exit status 2. A flag is written `-port 1`, `-port=1`, `--port 1` or `--port=1`, whole and in any
order.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from cli.addresses import Address, inherited_descriptors, is_path
from cli.passcode import ask, read_first_line
from codec import decode_text, handshake, has_control_or_line_end
from reactor.descriptors import Writer, open_writer
from reactor.loop import READ

VERSION = "2.0.0"
"""Of both programs, and by it of the wheel, the manual pages and the joined files."""

HELP_COLUMNS = 80

SAY_SECONDS = 2.0
"""Longest that a program which starts or ends waits for the disk that one line of it goes to."""

_PORT = re.compile(r"0*[0-9]{1,5}")  # int() and isdigit() know digits of other scripts too
_HOST_AND_MORE = re.compile(
    r"(?:[a-z]+://)?(\[.+\]|[^:/\[\]]+)(?::([0-9]+))?(?:/.*)?", re.IGNORECASE
)
_ASSIGNMENT_PASSCODE = re.compile(rb"[A-Za-z0-9]{1,5}")

_PASSCODE_FILE_HELP = "a file with the passcode in its first line, which does not show in ps"


PLAIN, LINE, FULL = INTERFACES = ("plain", "line", "full")
"""What -ui takes: how a client is shown."""

_DUMB = (None, "", "dumb", "unknown")

AddFlags = Callable[[argparse.ArgumentParser], None]
"""A feature's own: adds its flags, each in both spellings."""


class ServerFlags(argparse.Namespace):
    """What the server was asked to do. `passcode` is as the system gave it, byte for byte."""

    port: int
    passcode: bytes
    passcode_file: str | None
    strict: bool
    trace: str
    announce: bool
    log: str | None
    transcript: str | None
    history: int
    motd: str | None
    listen: list[Address]
    admin: str | None
    resume: int | None
    web: int | None
    web_name: list[str]
    trust_proxy: list[object]
    cluster: str | None
    cluster_file: str | None
    node: str | None


class ServerAddress(NamedTuple):
    """Where a server of the room is. `host` is as typed: a name, an address, or the path of a UNIX
    socket, which needs no `port`."""

    host: str
    port: int | None

    @property
    def text(self) -> str:
        """For people."""
        return self.host if self.port is None else f"{self.host} port {self.port}"


class ClientFlags(argparse.Namespace):
    """What the client was asked to do. `servers`: the servers of the room, in the order in which to
    try them; `host` and `port` are those of the first."""

    servers: list[ServerAddress]
    host: str
    port: int | None
    username: str
    passcode: bytes
    passcode_file: str | None
    trace: str
    ui: str


def parse_server_flags(
    argv: Sequence[str] | None = None, features: Iterable[AddFlags] = ()
) -> ServerFlags:
    """Read the server's command line, by default the process's own."""
    parser = server_parser(features)
    flags = parser.parse_args(argv, ServerFlags())
    flags.passcode = _passcode(parser, flags, _server_passcode)
    _judge_passcode(parser, flags)
    return flags


def server_parser(features: Iterable[AddFlags] = ()) -> _FlagParser:
    """The server's flags, those that it always has and behind them those of `features`."""
    parser = _FlagParser(
        usage=f"{_command('server.py')} -start -port <port> -passcode <passcode> [-strict]",
        description="A chat room, on 127.0.0.1 unless -listen says otherwise.",
        epilog="example:\n  python3 server.py -start -port 65432 -passcode abc12",
    )
    parser.add_flag("start", action="store_true", required=True, help="start the server")
    parser.add_flag(
        "port",
        type=_port,
        required=not inherited_descriptors(),  # where systemd listens for it
        default=0,
        help="0 to 65535; 0 takes a free one",
    )
    parser.add_flag("passcode", type=_server_passcode, help="what a client must present")
    parser.add_flag("passcode-file", type=_word, help=_PASSCODE_FILE_HELP)
    parser.add_flag(
        "strict", action="store_true", help="refuse a passcode that is not 1 to 5 letters or digits"
    )
    parser.add_flag(
        "announce", action="store_true", help="answer client.py -find: which port, how many members"
    )
    for add_flags in features:
        add_flags(parser)
    return parser


def _judge_passcode(parser: _FlagParser, flags: ServerFlags) -> None:
    """For a network the assignment's is too short (cli.addresses), and a longer one is right."""
    if not _ASSIGNMENT_PASSCODE.fullmatch(flags.passcode):
        complaint = "the passcode is not 1 to 5 letters or digits, as the assignment asks"
        if flags.strict:
            parser.error(complaint)
        is_public = any(address.is_public for address in vars(flags).get("listen", ()))
        if not is_public and not inherited_descriptors():  # systemd's address is not known yet
            complain(f"warning: {complaint}")


def parse_client_flags(
    argv: Sequence[str] | None = None, features: Iterable[AddFlags] = ()
) -> ClientFlags:
    """Read the client's command line, by default the process's own."""
    parser = client_parser(features)
    flags = parser.parse_args(argv, ClientFlags())
    flags.servers = _servers(parser, vars(flags)["host"], vars(flags)["port"])
    flags.host, flags.port = flags.servers[0]
    is_drawn = flags.ui != PLAIN
    if is_drawn and (lack := lack_of_terminal()):
        parser.error(f"-ui {flags.ui} needs a terminal, and {lack}")
    if is_drawn and vars(flags)["passcode"] is None and flags.passcode_file is None:
        flags.passcode = _ask_for_passcode(parser)
    else:
        flags.passcode = _passcode(parser, flags, _client_passcode)
    return flags


def client_parser(features: Iterable[AddFlags] = ()) -> _FlagParser:
    """The client's flags, those that it always has and behind them those of `features`."""
    parser = _FlagParser(
        usage=(
            f"{_command('client.py')} -join -host <host> -port <port> -username <username> "
            "-passcode <passcode> [-ui line|full]"
        ),
        description="Join a chat room.",
        epilog=(
            "example:\n"
            "  python3 client.py -join -host 127.0.0.1 -port 65432 -username Alice -passcode abc12"
        ),
    )
    parser.add_flag("join", action="store_true", required=True, help="join the room")
    _add_servers(parser)
    parser.add_flag("username", type=_word, required=True, help="1 to 8 of A-Z a-z 0-9 _ - .")
    parser.add_flag(
        "passcode",
        type=_client_passcode,
        help="the room's passcode; with -ui the client asks for it if it is not given",
    )
    parser.add_flag("passcode-file", type=_word, help=_PASSCODE_FILE_HELP)
    parser.add_flag(
        "ui",
        choices=INTERFACES,
        default=PLAIN,
        metavar="UI",
        help="plain (the default); line: what you type stays whole while others talk; "
        "full: the whole window (pip install 'chatroom[tui]')",
    )
    for add_flags in features:
        add_flags(parser)
    return parser


def _add_servers(parser: _FlagParser) -> None:
    parser.add_flag(
        "host",
        action="append",
        default=[],
        type=_host,
        required=True,
        help="a name, an address, or the path of a UNIX socket; given more than once, the servers "
        "of one room, of which the first that answers is joined",
    )
    parser.add_flag(
        "port",
        action="append",
        default=[],
        type=_client_port,
        help="1 to 65535; a path needs none; given once, or once for each -host",
    )


def lack_of_terminal() -> str:
    """Why there is nothing to draw on, or ""."""
    for descriptor, name in enumerate(("standard input", "standard output")):
        if not os.isatty(descriptor):
            return f"{name} is none"
    return "TERM says that this one cannot draw" if os.environ.get("TERM") in _DUMB else ""


def say(descriptor: int, line: str) -> None:
    """Write one line to standard output or error, for as long as no loop runs. Where it is closed,
    full, or not read, the line is lost: a reader that does not read is not waited for.

    `print` would not do: where standard error is closed it prints on standard output.
    """
    data = line.encode("utf-8", "backslashreplace") + b"\n"
    with contextlib.suppress(OSError), contextlib.closing(open_writer(descriptor)) as writer:
        while data:
            data = data[_write(writer, data[: writer.piece_bytes]) :]


def _write(writer: Writer, piece: bytes) -> int:
    try:
        return writer.write(piece)
    except BlockingIOError:
        if writer.ready_event != READ:
            raise
        disk = select.poll()
        disk.register(writer.watched, select.POLLIN)
        disk.poll(SAY_SECONDS * 1000)
        return writer.write(piece)


def complain(line: str) -> None:
    """Say one line on standard error."""
    say(2, line)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse makes one for every flag, and imports the compressors of `shutil` to ask how wide
    the terminal is: a tenth of a start."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=HELP_COLUMNS)


class _FlagParser(argparse.ArgumentParser):
    """argparse, but for its abbreviations and its many lines about one mistake."""

    def __init__(self, usage: str, description: str, epilog: str) -> None:
        super().__init__(
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=_HelpFormatter,
            add_help=False,
            allow_abbrev=False,
        )
        self.add_argument("-h", "-help", "--help", action="help", help="show this and exit")
        self.add_argument(
            "-version",
            "--version",
            action="version",
            version=VERSION,
            help="show the version and exit",
        )

    def add_flag(self, name: str, **options: object) -> None:
        """A flag under both of its spellings."""
        self.add_argument(f"-{name}", f"--{name}", **options)  # type: ignore[arg-type]

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        words = sys.argv[1:] if args is None else args
        self._check_words(words)
        return super().parse_known_args(words, namespace)

    def _check_words(self, words: Sequence[str]) -> None:
        """Tell what argparse is silent about, or tells in other words or too late: a flag that is
        unknown, given twice, or without its value."""
        given: dict[str, argparse.Action] = {}
        rest = iter(words)
        for word in rest:
            flag, has_value, _ = word.partition("=")
            action = self._option_string_actions.get(flag)
            if action is None:
                self.error(f"{'unknown' if word.startswith('-') else 'not a'} flag: {word!r}")
            if action.dest in given and not isinstance(action.default, list):  # as -listen may be
                other = given[action.dest].option_strings[0]
                is_same = flag.lstrip("-") == other.lstrip("-")
                self.error(
                    f"{flag} is given twice"
                    if is_same
                    else f"{other} and {flag} exclude each other"
                )
            if action.nargs == 0 and action.const is None:
                return  # -help and its like, which end the program
            given[action.dest] = action
            if action.nargs != 0 and not has_value:
                self._check_given(flag, next(rest, None))

    def _check_given(self, flag: str, value: str | None) -> None:
        if value is None or value.partition("=")[0] in self._option_string_actions:
            self.error(f"{flag} needs a value")
        if value[:1] == "-" and len(value) > 1:
            self.error(f"{flag} needs a value; one that begins with - is written {flag}={value}")

    def error(self, message: str) -> NoReturn:
        message = re.sub("argument (-[a-z-]+)/--[a-z-]+", r"\1", message)
        complain(f"error: {decode_text(os.fsencode(message))} (-help shows how)")
        sys.exit(2)

    def _print_message(self, message: str, file: object = None) -> None:
        # Help and version alone come here. argparse writes them with a traceback to a full disk.
        say(1, message.rstrip("\n"))

    def _get_option_tuples(self, option_string: str) -> list[object]:  # type: ignore[override]
        # allow_abbrev stops at flags with two dashes: `-po` would still be `-port`. This is
        # where both kinds are looked up, and there is nothing to be found.
        return []


class Run(argparse.Action):
    """A flag that does something else and ends the program with the status of that, whatever else
    is missing."""

    def __init__(self, option_strings: Sequence[str], call: Callable[[], int], **rest: Any) -> None:
        super().__init__(option_strings, nargs=0, **rest)
        self._call = call

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        parser.exit(self._call())


class Show(Run):
    """A flag that shows a text."""

    def __init__(self, option_strings: Sequence[str], text: Callable[[], str], **rest: Any) -> None:
        def show() -> int:
            say(1, text())
            return 0

        super().__init__(option_strings, show, **rest)


def _command(program: str) -> str:
    """How this program was called: by its file, or as the command that an installation makes."""
    name = os.path.basename(sys.argv[0])
    return name if name.startswith("chatroom") else f"python3 {program}"


def _port(text: str, lowest: int = 0) -> int:
    if not _PORT.fullmatch(text) or not lowest <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"not a port from {lowest} to 65535: {text!r}")
    return int(text)


def _client_port(text: str) -> int:
    return _port(text, lowest=1)


def _servers(parser: _FlagParser, hosts: list[str], ports: list[int]) -> list[ServerAddress]:
    """One port is that of all, and several are those of the hosts in their order."""
    if len(ports) == 1:
        return [ServerAddress(host, ports[0]) for host in hosts]
    needing = [host for host in hosts if not is_path(host)]
    if needing and not ports:
        parser.error("the following arguments are required: -port/--port")
    if len(ports) != len(needing):
        parser.error("-port is to be given once, or once for each -host that is no path")
    rest = iter(ports)
    return [ServerAddress(host, None if is_path(host) else next(rest)) for host in hosts]


def _host(text: str) -> str:
    """A name or an address. What is more than that, as in a browser, is told how to be written."""
    if is_path(_word(text)):
        return text
    parts = _HOST_AND_MORE.fullmatch(text)
    host = parts[1].strip("[]") if parts else text
    if parts and host != text:
        flags = f"-host {host} -port {parts[2]}" if parts[2] else f"-host {host}"
        raise argparse.ArgumentTypeError(f"not a host: {text!r}; write {flags}")
    return text


def _word(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    if has_control_or_line_end(text):
        raise argparse.ArgumentTypeError("must not hold a line end or a control character")
    return text


def _client_passcode(text: str) -> bytes:
    return os.fsencode(_word(text))


def _server_passcode(text: str) -> bytes:
    passcode = _client_passcode(text)
    if any(character.isspace() for character in text):
        raise argparse.ArgumentTypeError("must not hold white space")
    max_bytes = handshake.MAX_PASSCODE_BYTES
    if len(passcode) > max_bytes:
        raise argparse.ArgumentTypeError(f"must not be longer than {max_bytes} bytes")
    return passcode


def _ask_for_passcode(parser: _FlagParser) -> bytes:
    try:
        return _client_passcode(ask("Passcode: "))
    except argparse.ArgumentTypeError as error:
        parser.error(f"the passcode {error}")


def _passcode(
    parser: _FlagParser, flags: ServerFlags | ClientFlags, check: Callable[[str], bytes]
) -> bytes:
    """The one that is given, on the command line or in a file."""
    given, path = vars(flags)["passcode"], flags.passcode_file
    if path is None:
        if given is None:
            parser.error("-passcode or -passcode-file is required")
        return bytes(given)
    if given is not None:
        parser.error("-passcode and -passcode-file exclude each other")
    try:
        line, is_readable_by_others = read_first_line(path)
        passcode = check(line)
    except (OSError, ValueError, argparse.ArgumentTypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        parser.error(f"-passcode-file: {path}: {reason}")
    if is_readable_by_others:
        complain(f"warning: others may read {path}, and the passcode in it (chmod 600)")
    return passcode
