"""What the command lines of both programs take, and how they refuse what they do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import pytest

from cli.flags import (
    VERSION,
    ClientFlags,
    ServerFlags,
    complain,
    parse_client_flags,
    parse_server_flags,
)
from cli.limits import format_limits
from server import FEATURES

SERVER = ["-start", "-port", "65432", "-passcode", "abc12"]
CLIENT = ["-join", "-host", "localhost", "-port", "65432", "-username", "Alice"]
CLIENT += ["-passcode", "abc12"]


def parse_server(argv: Sequence[str] | None = None) -> ServerFlags:
    """As server.py does."""
    return parse_server_flags(argv, FEATURES)


Capture = pytest.CaptureFixture[str]
Parser = Callable[[Sequence[str]], ServerFlags | ClientFlags]


def changed(argv: list[str], flag: str, *values: str) -> list[str]:
    """`argv` with other values, or none, for `flag`."""
    at = argv.index(flag) + 1
    return [*argv[:at], *values, *argv[at + 1 :]]


def refused(capfd: Capture, parse: Parser, argv: list[str]) -> str:
    """The one line that `parse` says on standard error about `argv` before it ends with 2."""
    with pytest.raises(SystemExit) as ending:
        parse(argv)
    assert ending.value.code == 2
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.startswith("error: ")
    assert stderr.endswith(" (-help shows how)\n")
    assert len(stderr.splitlines()) == 1
    return stderr


def spellings(flag: str, value: str) -> list[list[str]]:
    return [
        [f"-{flag}", value],
        [f"-{flag}={value}"],
        [f"--{flag}", value],
        [f"--{flag}={value}"],
    ]


@pytest.mark.parametrize("start", ["-start", "--start"])
@pytest.mark.parametrize("port", spellings("port", "65432"))
@pytest.mark.parametrize("passcode", spellings("passcode", "abc12"))
def test_every_spelling_of_a_servers_flags(
    start: str, port: list[str], passcode: list[str], capfd: Capture
) -> None:
    for argv in ([start, *port, *passcode], [*passcode, start, *port], [*port, *passcode, start]):
        flags = parse_server(argv)
        assert (flags.port, flags.passcode) == (65432, b"abc12")
        assert (flags.strict, flags.verbose) == (False, False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("join", ["-join", "--join"])
@pytest.mark.parametrize("style", range(4))
def test_every_spelling_of_a_clients_flags(join: str, style: int, capfd: Capture) -> None:
    values = {"host": "localhost", "port": "65432", "username": "Alice", "passcode": "abc12"}
    pairs = [[join], *(spellings(flag, value)[style] for flag, value in values.items())]
    for turn in range(len(pairs)):
        argv = [word for pair in pairs[turn:] + pairs[:turn] for word in pair]
        flags = parse_client_flags(argv)
        assert (flags.host, flags.port) == ("localhost", 65432)
        assert (flags.username, flags.passcode) == ("Alice", b"abc12")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_strict_and_verbose(dashes: str) -> None:
    flags = parse_server([*SERVER, f"{dashes}strict", f"{dashes}verbose"])
    assert (flags.strict, flags.verbose) == (True, True)


def test_what_begins_with_a_dash_is_written_behind_an_equals_sign() -> None:
    argv = ["-join", "-host=h", "-port=1", "-username=-bob-", "-passcode=-x-"]
    flags = parse_client_flags(argv)
    assert (flags.username, flags.passcode) == ("-bob-", b"-x-")


def test_the_command_line_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["server.py", *SERVER])
    assert parse_server().port == 65432
    monkeypatch.setattr("sys.argv", ["client.py", *CLIENT])
    assert parse_client_flags().host == "localhost"


@pytest.mark.parametrize("flag", ["-start", "-port", "-passcode"])
def test_a_server_needs_each_of_its_flags(flag: str, capfd: Capture) -> None:
    argv = SERVER[1:] if flag == "-start" else changed(SERVER, flag)
    argv = [word for word in argv if word != flag]
    assert flag in refused(capfd, parse_server, argv)


@pytest.mark.parametrize("flag", ["-join", "-host", "-port", "-username", "-passcode"])
def test_a_client_needs_each_of_its_flags(flag: str, capfd: Capture) -> None:
    argv = CLIENT[1:] if flag == "-join" else changed(CLIENT, flag)
    argv = [word for word in argv if word != flag]
    assert flag in refused(capfd, parse_client_flags, argv)


@pytest.mark.parametrize("flag", ["-port", "-passcode"])
def test_a_flag_needs_its_value(flag: str, capfd: Capture) -> None:
    assert flag in refused(capfd, parse_server, changed(SERVER, flag))
    assert flag in refused(capfd, parse_client_flags, changed(CLIENT, flag))


@pytest.mark.parametrize(
    ("text", "port"), [("0", 0), ("1", 1), ("65535", 65535), ("00080", 80), ("0000065535", 65535)]
)
def test_a_port_is_a_number_from_0_to_65535(text: str, port: int) -> None:
    assert parse_server(changed(SERVER, "-port", text)).port == port
    assert parse_client_flags(changed(CLIENT, "-port", text)).port == port


OUT_OF_RANGE = ["65536", "99999999999999999999", "-1"]
NOT_DIGITS = ["", " ", "x", "80x", "+1", "1.0", "1e3", "0x50", "1_000", " 80", "80 ", "80\n", "8 0"]
DIGITS_OF_OTHERS = ["٨٠", "８０", "²"]


@pytest.mark.parametrize("text", [*OUT_OF_RANGE, *NOT_DIGITS, *DIGITS_OF_OTHERS], ids=ascii)
@pytest.mark.parametrize("separator", [" ", "="])
def test_anything_else_is_no_port(text: str, separator: str, capfd: Capture) -> None:
    words = ["-port", text] if separator == " " else [f"-port={text}"]
    for parse, argv in ((parse_server, SERVER), (parse_client_flags, CLIENT)):
        at = argv.index("-port")
        complaint = refused(capfd, parse, [*argv[:at], *words, *argv[at + 2 :]])
        assert "-port" in complaint


UNKNOWN = ["-nosuch", "--nosuch", "-nosuch=1", "extra", "", "-x", "-P 1", "-PORT 1"]
MISUSED = ["-start=1", "--start=yes", "-join", "-host h"]


@pytest.mark.parametrize("words", [[*words.split(" ")] for words in [*UNKNOWN, *MISUSED]])
def test_a_server_refuses_what_it_does_not_know(words: list[str], capfd: Capture) -> None:
    refused(capfd, parse_server, [*SERVER, *words])


@pytest.mark.parametrize("words", [["-nosuch"], ["extra"], ["-start"], ["-strict"], ["-verbose"]])
def test_a_client_refuses_what_it_does_not_know(words: list[str], capfd: Capture) -> None:
    refused(capfd, parse_client_flags, [*CLIENT, *words])


def abbreviated(argv: list[str]) -> Iterator[list[str]]:
    """`argv` with one of its flags cut short, in every way there is."""
    for at, flag in enumerate(argv):
        for end in range(2, len(flag) if flag.startswith("-") else 0):
            short = flag[:end]
            if short != "-h":  # a flag of its own
                yield [*argv[:at], short, *argv[at + 1 :]]
            yield [*argv[:at], f"-{short}", *argv[at + 1 :]]
            yield [*argv[:at], "=".join([short, *argv[at + 1 : at + 2]]), *argv[at + 2 :]]


@pytest.mark.parametrize("argv", abbreviated(SERVER), ids=" ".join)
def test_no_abbreviation_is_taken_for_a_servers_flag(argv: list[str], capfd: Capture) -> None:
    refused(capfd, parse_server, argv)


@pytest.mark.parametrize("argv", abbreviated(CLIENT), ids=" ".join)
def test_no_abbreviation_is_taken_for_a_clients_flag(argv: list[str], capfd: Capture) -> None:
    refused(capfd, parse_client_flags, argv)


@pytest.mark.parametrize("words", [["-str"], ["--str"], ["-v"], ["-verb"], ["-ver"], ["-hel"]])
def test_no_abbreviation_is_taken_for_a_switch(words: list[str], capfd: Capture) -> None:
    refused(capfd, parse_server, [*SERVER, *words])


@pytest.mark.parametrize("culprit", ["-\n", "-po\rrt", "x\x1b[2J", "\u2028", "\udcff", "-\n=1"])
def test_a_complaint_is_one_harmless_line_whatever_it_is_about(
    culprit: str, capfd: Capture
) -> None:
    complaint = refused(capfd, parse_server, [*SERVER, culprit])
    assert "\x1b" not in complaint
    assert complaint[:-1].isprintable()


@pytest.mark.parametrize("passcode", ["a", "Z", "0", "abc12", "ABCDE", "00000"])
@pytest.mark.parametrize("strictness", [[], ["-strict"]])
def test_the_assignments_passcodes_need_no_warning(
    passcode: str, strictness: list[str], capfd: Capture
) -> None:
    flags = parse_server(changed(SERVER, "-passcode", passcode) + strictness)
    assert flags.passcode == passcode.encode()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("passcode", ["secret123", "abc123", "a-b", "...", "pässe", "x" * 242])
def test_any_other_passcode_is_one_warning_and_refused_by_strict(
    passcode: str, capfd: Capture
) -> None:
    argv = changed(SERVER, "-passcode", passcode)
    assert parse_server(argv).passcode == passcode.encode()
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert stderr.startswith("warning: ")
    assert len(stderr.splitlines()) == 1
    assert "passcode" in refused(capfd, parse_server, [*argv, "-strict"])


BLANK = ["", " ", "a b", " ab", "ab ", "a\tb", "a\u00a0b", "a\u2003b", "a\u2028b", "a\u3000b"]
CONTROL = ["a\nb", "a\r", "\x00", "\x1b", "\x7f", "\x85"]
ENDLESS = ["x" * 243, "ü" * 122]


@pytest.mark.parametrize("passcode", [*BLANK, *CONTROL, *ENDLESS], ids=ascii)
def test_a_server_always_refuses_an_empty_blank_or_endless_passcode(
    passcode: str, capfd: Capture
) -> None:
    argv = changed(SERVER, "-passcode", passcode)
    assert "-passcode" in refused(capfd, parse_server, argv)


@pytest.mark.parametrize("flag", ["-host", "-username", "-passcode"])
@pytest.mark.parametrize(
    "text", ["", "a\nb", "\r", "a\tb", "\x00", "\x1b[2J", "\x7f", "\x9b", "\u2029"]
)
def test_a_clients_words_are_neither_empty_nor_control_characters(
    flag: str, text: str, capfd: Capture
) -> None:
    assert flag in refused(capfd, parse_client_flags, changed(CLIENT, flag, text))


@pytest.mark.parametrize("passcode", ["wrong one", " ", "pässe", "x" * 10_000], ids=len)
def test_a_client_presents_the_passcode_it_was_given(passcode: str) -> None:
    flags = parse_client_flags(changed(CLIENT, "-passcode", passcode))
    assert flags.passcode == passcode.encode()


@pytest.mark.parametrize("username", ["Al ice", "Alexander", "Zoë", "\u202e", "😀"], ids=ascii)
def test_what_a_name_may_be_is_not_for_the_command_line_to_say(username: str) -> None:
    assert parse_client_flags(changed(CLIENT, "-username", username)).username == username


def test_a_passcode_that_is_no_text_is_its_bytes() -> None:
    argument = os.fsdecode(b"\xff\xfe")
    assert parse_client_flags(changed(CLIENT, "-passcode", argument)).passcode == b"\xff\xfe"
    assert parse_server(changed(SERVER, "-passcode", argument)).passcode == b"\xff\xfe"


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
@pytest.mark.parametrize(
    ("parse", "script"), [(parse_server, "server.py"), (parse_client_flags, "client.py")]
)
def test_help_says_how_with_an_example_that_is_right(
    flag: str, parse: Parser, script: str, capfd: Capture
) -> None:
    with pytest.raises(SystemExit) as ending:
        parse([flag])
    assert ending.value.code == 0
    stdout, stderr = capfd.readouterr()
    assert stderr == ""
    assert stdout.startswith(f"usage: python3 {script} ")
    example = stdout.splitlines()[-1].split()
    assert example[:2] == ["python3", script]
    assert parse(example[2:]).port == 65432
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("flag", ["-version", "--version"])
@pytest.mark.parametrize("parse", [parse_server, parse_client_flags])
def test_the_version_is_one_line(flag: str, parse: Parser, capfd: Capture) -> None:
    with pytest.raises(SystemExit) as ending:
        parse([flag])
    assert ending.value.code == 0
    assert capfd.readouterr() == (f"{VERSION}\n", "")


def test_a_complaint_is_a_line_even_if_it_cannot_be_encoded(capfd: Capture) -> None:
    complain("no text: \udcff")
    assert capfd.readouterr() == ("", "no text: \\udcff\n")


def test_a_complaint_that_cannot_be_made_is_no_matter() -> None:
    stderr = os.dup(2)
    try:
        os.close(2)
        complain("nobody will read this")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@pytest.mark.parametrize("flag", ["-limits", "--limits"])
@pytest.mark.parametrize("others", [[], SERVER, ["-port", "1"]], ids=" ".join)
def test_the_limits_are_shown_whatever_else_is_missing(
    flag: str, others: list[str], capfd: Capture
) -> None:
    with pytest.raises(SystemExit) as ending:
        parse_server([*others, flag])
    assert not ending.value.code
    assert capfd.readouterr() == (format_limits() + "\n", "")


def test_flags_of_a_feature_are_its_own(capfd: Capture) -> None:
    refused(capfd, parse_server_flags, [*SERVER, "-verbose"])
    refused(capfd, parse_server_flags, [*SERVER, "-limits"])


@pytest.mark.parametrize("word", ["-limits=1", "--limits=x", "-limit", "-l"])
def test_the_limits_take_no_value_and_no_abbreviation(word: str, capfd: Capture) -> None:
    refused(capfd, parse_server, [*SERVER, word])


def test_a_client_has_no_limits_to_show(capfd: Capture) -> None:
    refused(capfd, parse_client_flags, [*CLIENT, "-limits"])
