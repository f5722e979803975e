"""What the command lines of both programs take, and how they refuse what they do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from cli import flags
from cli.addresses import warn_of_network
from cli.flags import complain, parse_client_flags, parse_server_flags
from cli.limits import format_limits
from server import FEATURES

Capture = pytest.CaptureFixture[str]


class Program(NamedTuple):
    """What reads the command line of one of the two, and what has to be on it."""

    parse: Callable[[Sequence[str] | None], flags.ServerFlags | flags.ClientFlags]
    switch: str
    values: dict[str, str]

    def words(self, dashes: str = "-", separator: str = "", **changes: str) -> list[str]:
        """Its command line, with other values for some flags."""
        words = [f"{dashes}{self.switch}"]
        for flag, value in {**self.values, **changes}.items():
            pair = [f"{dashes}{flag}", value]
            words += [separator.join(pair)] if separator else pair
        return words


BARE_SERVER = Program(parse_server_flags, "start", {"port": "65432", "passcode": "abc12"})
SERVER = BARE_SERVER._replace(parse=lambda argv: parse_server_flags(argv, FEATURES))
NAMES = {"host": "localhost", "username": "Alice"}
CLIENT = Program(parse_client_flags, "join", NAMES | SERVER.values)

EACH = pytest.mark.parametrize("program", [SERVER, CLIENT], ids=["server", "client"])


def ended(capfd: Capture, program: Program, words: list[str], status: int) -> tuple[str, str]:
    """What is on standard output and on standard error as the program ends so."""
    with pytest.raises(SystemExit) as ending:
        program.parse(words)
    assert (ending.value.code or 0) == status
    return capfd.readouterr()


def refused(capfd: Capture, program: Program, words: list[str]) -> str:
    """The one line on standard error about `words`, before the program ends with 2."""
    stdout, stderr = ended(capfd, program, words, 2)
    assert stdout == ""
    assert stderr.startswith("error: ")
    assert stderr.endswith(" (-help shows how)\n")
    assert len(stderr.splitlines()) == 1
    return stderr


def shown(capfd: Capture, program: Program, words: list[str]) -> str:
    """What is shown on standard output before the program ends well."""
    stdout, stderr = ended(capfd, program, words, 0)
    assert stderr == ""
    return stdout


# What is taken.


@EACH
@pytest.mark.parametrize("dashes", ["-", "--"])
@pytest.mark.parametrize("separator", ["", "="])
def test_flags_may_be_spelled_four_ways_and_in_any_order(
    program: Program, dashes: str, separator: str, capfd: Capture
) -> None:
    words = program.words(dashes, separator)
    for first in range(1, len(words), 1 if separator else 2):
        given = vars(program.parse(words[first:] + words[:first]))
        assert (given["port"], given["passcode"]) == (65432, b"abc12")
        assert NAMES.items() <= given.items() or program is SERVER
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_switches_are_off_unless_they_are_given(dashes: str) -> None:
    given = vars(SERVER.parse(SERVER.words()))
    assert (given["strict"], given["log"]) == (False, None)
    given = vars(SERVER.parse([*SERVER.words(), f"{dashes}strict", f"{dashes}verbose"]))
    assert (given["strict"], given["log"]) == (True, "plain")


PORTS = {"1": 1, "65535": 65535, "00080": 80, "0000065535": 65535}
HOSTS = ["/run/sock", "./sock", "::1", "fe80::1%eth0", "127.0.0.1", "a-b.example.org", "a.org:"]
PASSCODES = ["wrong one", " ", "pässe", "x" * 10_000, os.fsdecode(b"\xff\xfe"), "-x-"]
USERNAMES = ["Al ice", "Alexander", "Zoë", "\u202e", "😀", "-bob-"]  # for the server to judge


@pytest.mark.parametrize(
    ("program", "flag", "text", "value"),
    [
        *((program, "port", *port) for program in (SERVER, CLIENT) for port in PORTS.items()),
        (SERVER, "port", "0", 0),
        *((CLIENT, "passcode", text, os.fsencode(text)) for text in PASSCODES),
        *((CLIENT, "username", text, text) for text in USERNAMES),
        *((CLIENT, "host", text, text) for text in HOSTS),
    ],
)
def test_value_is_taken_as_it_is_typed(
    program: Program, flag: str, text: str, value: object
) -> None:
    """Behind an equals sign even one that begins with a dash."""
    for separator in ("=", "")[: 1 if text.startswith("-") else 2]:
        assert vars(program.parse(program.words("-", separator, **{flag: text})))[flag] == value


def test_hosts_have_one_port_or_one_each() -> None:
    hosts = ["-host", "a", "-host", "./b", "-host", "c"]
    for ports, expected in (([1], [1, 1, 1]), ([1, 2], [1, None, 2])):
        words = ["-join", "-username=A", "-passcode=p", *hosts, *(f"-port={x}" for x in ports)]
        servers = vars(CLIENT.parse(words))["servers"]
        assert servers == [*zip(["a", "./b", "c"], expected, strict=True)]


@pytest.mark.parametrize("passcode", ["a", "Z", "0", "abc12", "ABCDE", "00000"])
@pytest.mark.parametrize("strictness", [[], ["-strict"]])
def test_passcode_of_the_assignment_needs_no_warning(
    passcode: str, strictness: list[str], capfd: Capture
) -> None:
    given = SERVER.parse(SERVER.words(passcode=passcode) + strictness)
    assert given.passcode == passcode.encode()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "passcode", ["secret123", "abc123", "a-b", "pässe", "x" * 242, os.fsdecode(b"\xff\xfe")]
)
def test_other_passcode_is_one_warning_and_refused_by_strict(passcode: str, capfd: Capture) -> None:
    words = SERVER.words(passcode=passcode)
    assert SERVER.parse(words).passcode == os.fsencode(passcode)
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.startswith("warning: ")
    assert len(stderr.splitlines()) == 1
    assert "passcode" in refused(capfd, SERVER, [*words, "-strict"])


def in_file(program: Program, path: Path) -> list[str]:
    """Its command line, with the passcode in a file."""
    return [*program.words()[:-2], "-passcode-file", str(path)]


@EACH
def test_passcode_file_is_its_first_line_without_the_end(
    program: Program, tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "passcode"
    for text in ("abc12", "abc12\n", "abc12\r\n", "abc12\nmore\n"):
        path.write_text(text)
        for mode in (0o600, 0o644):
            path.chmod(mode)
            assert vars(program.parse(in_file(program, path)))["passcode"] == b"abc12"
            stdout, stderr = capfd.readouterr()
            assert (stdout, stderr.startswith("warning: others may read")) == ("", mode == 0o644)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    program.parse(in_file(program, path))
    assert capfd.readouterr().err == ""


def test_listen_takes_addresses_and_paths(capfd: Capture) -> None:
    texts = ["127.0.0.2", "::1", "./sock", "/run/sock", "fe80::1%lo"]
    words = [word for text in texts for word in ("-listen", text)]
    addresses = vars(SERVER.parse([*SERVER.words(), *words]))["listen"]
    assert [address.text for address in addresses] == texts
    assert [address.is_public for address in addresses] == [False] * 4 + [True]


@pytest.mark.parametrize("address", ["::", "192.0.2.1", "127.0.0.1"])
def test_room_on_a_network_needs_tls_and_a_long_passcode(address: str, capfd: Capture) -> None:
    is_public = address != "127.0.0.1"
    for passcode in ("abc12", "abc123"):
        parsed = SERVER.parse([*SERVER.words(passcode=passcode), "-listen", address])
        is_long = passcode == "abc123"
        assert ("as the assignment" in capfd.readouterr().err) == (is_long and not is_public)
        for has_tls in (False, True):
            listen = vars(parsed)["listen"]
            warnings = "".join(warn_of_network(listen, passcode.encode(), has_tls, False))
            assert ("5 characters or fewer" in warnings) == (is_public and not is_long)
            assert ("no TLS" in warnings) == (is_public and not has_tls)


# What is refused.


@EACH
def test_passcode_file_that_holds_none_is_refused(
    program: Program, tmp_path: Path, capfd: Capture
) -> None:
    path = tmp_path / "passcode"
    assert "No such file" in refused(capfd, program, in_file(program, path))
    for text in ("", "\nabc12", "\x1babc12", "x" * 70_000):
        path.write_text(text)
        assert "abc12" not in refused(capfd, program, in_file(program, path))
    assert "exclude each other" in refused(
        capfd, program, [*program.words(), "-passcode-file", str(path)]
    )


@EACH
def test_each_flag_is_needed_and_with_its_value(program: Program, capfd: Capture) -> None:
    first, *words = program.words()
    assert first in refused(capfd, program, words)
    for at in range(0, len(words), 2):
        assert words[at] in refused(capfd, program, [first, *words[:at], *words[at + 2 :]])
        assert words[at] in refused(capfd, program, [first, *words[: at + 1], *words[at + 2 :]])


def test_what_systemd_listens_on_counts_for_this_process_alone(
    capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-start", "-passcode", "a-long-one"]
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert SERVER.parse(words).port == 0
    assert capfd.readouterr() == ("", "")  # its address may be public
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    assert "-port" in refused(capfd, SERVER, words)
    SERVER.parse(SERVER.words(passcode="a-long-one"))
    assert capfd.readouterr().err.startswith("warning: ")


OUT_OF_RANGE = ["65536", "99999999999999999999", "-1"]
NOT_DIGITS = ["", " ", "x", "80x", "+1", "1.0", "1e3", "0x50", "1_000", " 80", "80 ", "80\n", "8 0"]
OTHER_DIGITS = ["٨٠", "８０", "²"]
BLANK = [" ", "a b", " ab", "ab ", "a\tb", "a\u00a0b", "a\u2003b", "a\u2028b", "a\u3000b"]
ENDLESS = ["x" * 243, "ü" * 122]
EMPTY_OR_CONTROL = ["", "a\nb", "a\r", "a\tb", "\x00", "\x1b[2J", "\x7f", "\x85", "\u2029"]


@pytest.mark.parametrize(
    ("program", "flag", "texts"),
    [
        (SERVER, "port", OUT_OF_RANGE + NOT_DIGITS + OTHER_DIGITS),
        (CLIENT, "port", ["0", "00", *OUT_OF_RANGE, *NOT_DIGITS, *OTHER_DIGITS]),
        (SERVER, "passcode", EMPTY_OR_CONTROL + BLANK + ENDLESS),
        (SERVER, "listen", ["", "localhost", "127.1", "1.2.3.4:5", "[::1]", "a/b", "::g"]),
        *((CLIENT, flag, EMPTY_OR_CONTROL) for flag in ("host", "username", "passcode")),
    ],
)
def test_value_that_can_be_none_is_refused(
    program: Program, flag: str, texts: list[str], capfd: Capture
) -> None:
    for text in texts:
        for separator in ("", "="):
            words = program.words("-", separator, **{flag: text})
            assert f"-{flag}" in refused(capfd, program, words), ascii(text)


COMMON = ["-nosuch", "--nosuch", "-nosuch=1", "extra", "", "-x", "-P 1", "-PORT 1", "-ver", "-hel"]
NO_SERVER = [*COMMON, "-start=1", "--start=yes", "-join", "-host h", "-str", "--str", "-v", "-verb"]
NO_SERVER += ["-limits=1", "--limits=x", "-limit", "-l"]
NO_CLIENT = [*COMMON, "-start", "-strict", "-verbose", "-limits"]
NO_FEATURES = ["-verbose", "-limits", "-listen ::1"]


@pytest.mark.parametrize(
    ("program", "unknown"),
    [(SERVER, NO_SERVER), (CLIENT, NO_CLIENT), (BARE_SERVER, NO_FEATURES)],
    ids=["server", "client", "server without features"],
)
def test_unknown_word_or_switch_cut_short_is_refused(
    program: Program, unknown: list[str], capfd: Capture
) -> None:
    for words in unknown:
        refused(capfd, program, [*program.words(), *words.split(" ")])


def abbreviated(words: list[str]) -> Iterator[list[str]]:
    """`words` with one of the flags cut short, in every way there is."""
    for at, flag in enumerate(words):
        for end in range(2, len(flag) if flag.startswith("-") else 0):
            short = flag[:end]
            if short != "-h":  # a flag of its own
                yield [*words[:at], short, *words[at + 1 :]]
            yield [*words[:at], f"-{short}", *words[at + 1 :]]
            yield [*words[:at], "=".join([short, *words[at + 1 : at + 2]]), *words[at + 2 :]]


@EACH
def test_no_abbreviation_is_taken_for_a_flag(program: Program, capfd: Capture) -> None:
    for words in abbreviated(program.words()):
        refused(capfd, program, words)


# What is said.


WAYS_OUT = [
    (SERVER, "-start -port= -passcode a", "-port: not a port from 0 to 65535: ''"),
    (CLIENT, "-join -port 0", "-port: not a port from 1 to 65535: '0'"),
    (SERVER, "-start -port -passcode a", "-port needs a value"),
    (SERVER, "-port 1 -passcode", "-passcode needs a value"),
    (
        SERVER,
        "-start -port 1 -passcode -abc",
        "-passcode needs a value; one that begins with - is written -passcode=-abc",
    ),
    (SERVER, "-prot 1", "unknown flag: '-prot'"),
    (CLIENT, "-join Alice", "not a flag: 'Alice'"),
    (SERVER, "-port 1 -strict --port=2", "--port is given twice"),
    (SERVER, "-strict -strict", "-strict is given twice"),
    (CLIENT, "-host http://a.org", "-host: not a host: 'http://a.org'; write -host a.org"),
    (CLIENT, "-host HTTPS://a.org:80/b", "'HTTPS://a.org:80/b'; write -host a.org -port 80"),
    (CLIENT, "-host localhost:80", "'localhost:80'; write -host localhost -port 80"),
    (CLIENT, "-host [::1]:80", "'[::1]:80'; write -host ::1 -port 80"),
    (CLIENT, "-host [::1]", "'[::1]'; write -host ::1"),
    (
        CLIENT,
        "-join -host a -port 1 -host b -host ./c -port 2 -port 3 -username A -passcode p",
        "-port is to be given once, or once for each -host that is no path",
    ),
    (SERVER, "-listen [::1]:80", "'[::1]:80'; write -listen ::1 -port 80"),
]


@pytest.mark.parametrize(("program", "words", "way_out"), WAYS_OUT)
def test_complaint_says_the_way_out(
    program: Program, words: str, way_out: str, capfd: Capture
) -> None:
    complaint = refused(capfd, program, words.split(" "))
    assert complaint.removesuffix(" (-help shows how)\n").endswith(way_out)


@pytest.mark.parametrize("culprit", ["-\n", "-po\rrt", "x\x1b[2J", "\u2028", "\udcff", "-\n=1"])
def test_complaint_is_one_harmless_line_whatever_it_is_about(culprit: str, capfd: Capture) -> None:
    complaint = refused(capfd, SERVER, [*SERVER.words(), culprit])
    assert "\x1b" not in complaint
    assert complaint[:-1].isprintable()


@pytest.mark.parametrize("word", ["-port=x", "-nosuch", "-passcode=abc12\x1b"])
def test_complaint_does_not_tell_the_passcode(word: str, capfd: Capture) -> None:
    assert "abc12" not in refused(capfd, SERVER, [*SERVER.words(), word])


def test_complaint_is_a_line_even_if_it_cannot_be_encoded(capfd: Capture) -> None:
    complain("no text: \udcff")
    assert capfd.readouterr() == ("", "no text: \\udcff\n")


def test_complaint_is_waited_for_where_the_disk_is_slow(capfd: Capture) -> None:
    with patch("reactor.file_writer.PROMPT_SECONDS", 0):
        complain("it takes its time")
    assert capfd.readouterr() == ("", "it takes its time\n")


def test_complaint_that_cannot_be_made_is_no_matter() -> None:
    stderr = os.dup(2)
    try:
        os.close(2)
        complain("none will read this")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@EACH
@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help_says_how_with_an_example_that_is_right(
    program: Program, flag: str, capfd: Capture
) -> None:
    text = shown(capfd, program, [flag])
    script = "server.py" if program is SERVER else "client.py"
    assert text.startswith(f"usage: python3 {script} ")
    example = text.splitlines()[-1].split()
    assert example[:2] == ["python3", script]
    assert program.parse(example[2:]).port == 65432
    assert capfd.readouterr() == ("", "")


@EACH
@pytest.mark.parametrize("flag", ["-version", "--version"])
def test_version_is_one_line(program: Program, flag: str, capfd: Capture) -> None:
    assert shown(capfd, program, [flag]) == f"{flags.VERSION}\n"


@pytest.mark.parametrize("words", ["-limits", "--limits", "-port 1 -limits"])
def test_limits_are_shown_whatever_else_is_missing(words: str, capfd: Capture) -> None:
    assert shown(capfd, SERVER, words.split()) == format_limits() + "\n"
