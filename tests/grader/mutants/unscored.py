"""Mistakes that cost no points, and changes that are no mistake: a black box cannot see them, or
the assignment leaves them free. The latter keep the full score, and nothing at all fails."""

from __future__ import annotations

from tests.grader.mutants.mutant import Mutant

FREE = "free"
"""The group of what is no mistake."""

_JOIN_LINES = r'data = data.strip().replace(b"\n", b" ") + b"\n"'
_PROTECTED = r"""
if word.startswith(("\\:", "\\\\")):
    return word[1:]
"""

README = [
    Mutant(
        "no-escape",
        "a backslash means nothing",
        "_translate_word",
        _PROTECTED,
        "",
        "escape",
        "escape-command",
    ),
    Mutant(
        "escape-kept",
        "a backslash protects a word, and is shown",
        "_translate_word",
        "word[1:]",
        "word",
        "escape",
        "escape-command",
    ),
    Mutant(
        "escape-not-for-commands",
        "a backslash does not protect from commands",
        "parse_command",
        "",
        'if text[1:3] in (":U", ":E", ":M"):\n    text = text.removeprefix("\\\\")',
        "escape-command",
    ),
    Mutant(
        "line-lost-to-a-shortcut",
        "of a line with a shortcut in it nothing else is left",
        "translate",
        "any(word.lower() in _TIMES for word in words)",
        "...\nwords = [word for word in words if word in _FACES] or words",
        "within-a-line",
    ),
    Mutant(
        "whole-lines-only",
        "a shortcut within a line is left as it is",
        "translate",
        '":" not in text',
        '(" " in text or ":" not in text)',
        "within-a-line",
        flags=("--strict",),
    ),
    Mutant(
        "message-spaces-collapsed",
        "a private message is split, and joined by single spaces",
        "_message",
        "Command(MESSAGE, text, to)",
        'Command(MESSAGE, " ".join(text.split()), to)',
        "message-spaces",
    ),
    Mutant(
        "message-from-the-first",
        "private messages are from the first client, whoever sends them",
        "Dispatcher._message",
        'f"[Message from {username}]: {text}"',
        'f"[Message from {self.usernames[0]}]: {text}"',
        "message-both-ways",
    ),
]

ROBUSTNESS = [
    Mutant(
        "server-takes-a-recv-for-a-line",
        "the server takes what one recv() gives for one message",
        "Session.data_received",
        "",
        _JOIN_LINES,
        "burst",
        "joined-by-tcp cut-by-tcp utf-8-in-pieces",
    ),
    Mutant(
        "client-takes-a-recv-for-a-line",
        "a client prints what one recv() gives as one line",
        "Client.data_received",
        "",
        _JOIN_LINES,
        "joined-by-tcp",
        "burst cut-by-tcp",
    ),
    Mutant(
        "server-decodes-pieces",
        "the server decodes each piece that comes, and drops what is no character",
        "Session.data_received",
        "self._decoder.feed_data(data)",
        'self._decoder.feed_data(data.decode("utf-8", "ignore").encode())',
        "cut-by-tcp",
        "utf-8-in-pieces",
    ),
    Mutant(
        "client-decodes-pieces",
        "a client decodes each piece that comes, and drops what is no character",
        "Client.data_received",
        "self._server_lines.feed_data(data)",
        'self._server_lines.feed_data(data.decode("utf-8", "ignore").encode())',
        "cut-by-tcp",
    ),
    Mutant(
        "keyboard-decodes-pieces",
        "a client decodes each piece that is typed, and drops what is no character",
        "Client._typed",
        "self._connection.write(data)",
        'self._connection.write(data.decode("utf-8", "ignore").encode())',
        "utf-8-in-pieces",
    ),
    Mutant(
        "ascii",
        "a client encodes what it shows as ASCII",
        "Client._show",
        'text.encode("utf-8", "surrogateescape")',
        'text.encode("ascii", "replace")',
        "utf-8-in-pieces",
        "cut-by-tcp",
    ),
    Mutant(
        "long-lines-cut",
        "of a line 64 characters are received",
        "Dispatcher.dispatch_plain",
        "",
        'lines = b"".join(line[:64] + b"\\n" for line in lines.splitlines())',
        "long-line",
    ),
    Mutant(
        "cr-kept",
        "the CR of a CR LF is shown",
        "LineDecoder.next_line",
        r'line[:-1] if line.endswith(b"\r") else line',
        "line",
        "crlf",
    ),
    Mutant(
        "kill-unnoticed",
        "only `:Exit` takes a client out of the room",
        "Session._part",
        "",
        "return",
        "killed",
        "end-of-input interrupt",
    ),
    Mutant(
        "kill-announced-twice",
        "a connection that breaks is announced twice",
        "Session._part",
        "self._room.dispatcher.leave(self._username)",
        "self._room._print_and_broadcast(Deliveries(line := "
        'encode_line(f"{self._username} left the chatroom"), line), None)\n'
        "...",
        "killed",
        "end-of-input interrupt",
    ),
    Mutant(
        "ten-at-most",
        "the eleventh client is not let in",
        "Dispatcher.join",
        "check_username(username)",
        '...\nif len(self._members) == 10:\n    raise ProtocolError("Server full")',
        "twenty-clients",
    ),
    Mutant(
        "namesake-throws-out",
        "who comes under a name that is taken throws out who has it",
        "Session._judge",
        "str(error) == INCORRECT_PASSCODE",
        "if namesake := self._room._members.get(request.username):\n"
        "    namesake.connection.close()\n"
        "...",
        "duplicate-name",
    ),
    Mutant(
        "unknown-name-crashes",
        "a message to nobody ends the connection with a KeyError",
        "Dispatcher._message",
        "self._members.get(_fold(command.to))",
        "self._members[_fold(command.to)]",
        "unknown-name",
    ),
    Mutant(
        "too-few-words-crash",
        "`:Msg` without its words ends the connection with an IndexError",
        "_message",
        "_split_word(argument)",
        "(argument.split()[0], _split_word(argument)[1])",
        "unknown-name",
    ),
    Mutant(
        "port-in-use-traceback",
        "a port in use is a traceback",
        "server:main",
        "error.errno == errno.EADDRINUSE",
        "raise\n...",
        "port-in-use",
    ),
    Mutant(
        "port-shared",
        "two servers may have the same port",
        "listen",
        "socket.SO_REUSEADDR",
        "socket.SO_REUSEPORT",
        "port-in-use",
    ),
    Mutant(
        "end-of-input-unnoticed",
        "a client stays when its input has ended",
        "Client._typed_end",
        'if not self._ends_in_line:\n    self._connection.write(b"\\n")\nself._leave(0)',
        "",
        "end-of-input",
    ),
    Mutant(
        "interrupt-traceback",
        "Ctrl-C is a traceback in a client",
        "Client._signal_received",
        "",
        "raise KeyboardInterrupt",
        "interrupt",
    ),
    Mutant(
        "server-interrupt-traceback",
        "Ctrl-C is a traceback in the server",
        "Server._shut_down",
        "",
        "raise KeyboardInterrupt",
        "interrupt-server",
    ),
]

NO_MISTAKE = [
    Mutant(
        "other-wire-format",
        "the server's yes is another word on the wire",
        "OK",
        '"OK"',
        '"200 welcome to the room"',
    ),
    Mutant(
        "reads-by-sevens",
        "no more than seven bytes are received at once",
        "reactor.connection:READ_BYTES",
        "64 * 1024",
        "7",
    ),
    Mutant(
        "exit-status-3",
        "a client ends with status 3 after `:Exit`",
        "Client._typed",
        "self._leave(0)",
        "self._leave(3)",
    ),
    Mutant(
        "exit-takes-a-second",
        "a client takes most of a second to end",
        "client:main",
        "client.run()",
        "...\nimport time; time.sleep(0.8)",
    ),
    Mutant(
        "users-backwards",
        "names in the order of leaving an old stack",
        "Dispatcher._list_users",
        "self._members.values()",
        "reversed(self._members.values())",
    ),
    Mutant(
        "refusals-on-console",
        "the server shows who was refused",
        "Session._judge",
        "self._room.gate.note_wrong_passcode(self.source)",
        '...\nself._room._console.write(b"Incorrect passcode\\n")',
    ),
    Mutant(
        "refused-and-kept-waiting",
        "the server leaves it to a refused client to end the connection",
        "Session.turn_away",
        "self.connection.close()",
        "",
    ),
    Mutant(
        "day-without-zero",
        "a day of one digit has one character",
        "format_time",
        'f"{_WEEKDAYS[weekday]} {_MONTHS[month - 1]} {day:02}"',
        'f"{_WEEKDAYS[weekday]} {_MONTHS[month - 1]} {day}"',
    ),
    Mutant(
        "namesakes-welcome",
        "several may have the same name: the assignment does not ask for more",
        "Dispatcher.join",
        "_fold(username) in self._members",
        "False",
    ),
    Mutant(
        "commands-in-one-case",
        "`:exit` and `:users` are text",
        "parse_command",
        "word.lower()",
        "word[:1] + word[1:].swapcase()[:1] + word[2:]",
    ),
    Mutant(
        "interrupt-without-cleaning-up",
        "Ctrl-C ends a client as the kernel does",
        "Client.__init__",
        "Signals(self._reactor, ending_signals(), self._signal_received)",
        "",
    ),
    Mutant(
        "one-at-the-door",
        "a backlog of one",
        "BACKLOG",
        "1024",
        "1",
    ),
    Mutant(
        "hello-on-stderr",
        "the server logs on standard error who comes",
        "Room.enter",
        "self.gate.admit(session)",
        '...\nprint("connection from", session.address, file=sys.stderr)',
    ),
]

MUTANTS = {"readme": README, "robustness": ROBUSTNESS, FREE: NO_MISTAKE}
