"""Mistakes that cost no points, and changes that are no mistake: a black box cannot see them, or
the assignment leaves them free. The latter keep the full score, and nothing at all fails."""

from __future__ import annotations

from tests.grader.mutants.mutant import Mutant

FREE = "free"
"""The group of what is no mistake."""

README = [
    Mutant(
        "no-escape",
        "a backslash means nothing",
        "codec/text.py",
        '    if word.startswith(("\\\\:", "\\\\\\\\")):\n        return word[1:]\n',
        "",
        "escape",
        "escape-command",
    ),
    Mutant(
        "escape-kept",
        "a backslash protects a word, and is shown",
        "codec/text.py",
        "        return word[1:]\n",
        "        return word\n",
        "escape",
        "escape-command",
    ),
    Mutant(
        "escape-not-for-commands",
        "a backslash does not protect from commands",
        "codec/commands.py",
        '    if not text.startswith(":"):\n',
        '    if text[1:3] in (":U", ":E", ":M"):\n'
        '        text = text.removeprefix("\\\\")\n'
        '    if not text.startswith(":"):\n',
        "escape-command",
    ),
    Mutant(
        "line-lost-to-a-shortcut",
        "of a line with a shortcut in it nothing else is left",
        "codec/text.py",
        "    tells_time = any(word.lower() in _TIMES for word in words)\n",
        "    tells_time = any(word.lower() in _TIMES for word in words)\n"
        "    words = [word for word in words if word in _FACES] or words\n",
        "within-a-line",
    ),
    Mutant(
        "whole-lines-only",
        "a shortcut within a line is left as it is",
        "codec/text.py",
        '    if ":" not in text and',
        '    if (" " in text or ":" not in text) and',
        "within-a-line",
        flags=("--strict",),
    ),
    Mutant(
        "message-spaces-collapsed",
        "a private message is split, and joined by single spaces",
        "codec/commands.py",
        "Command(MESSAGE, text, to) if text",
        'Command(MESSAGE, " ".join(text.split()), to) if text',
        "message-spaces",
    ),
    Mutant(
        "message-from-the-first",
        "private messages are from the first client, whoever sends them",
        "codec/dispatcher.py",
        '"[Message from {username}]: {text}"',
        '"[Message from {self.usernames[0]}]: {text}"',
        "message-both-ways",
    ),
]

ROBUSTNESS = [
    Mutant(
        "server-takes-a-recv-for-a-line",
        "the server takes what one recv() gives for one message",
        "room.py",
        "        self._decoder.feed_data(data)\n        self._take_lines(ALL_PAGES)\n",
        '        data = data.strip().replace(b"\\n", b" ") + b"\\n"\n'
        "        self._decoder.feed_data(data)\n        self._take_lines(ALL_PAGES)\n",
        "burst",
        "joined-by-tcp cut-by-tcp utf-8-in-pieces",
    ),
    Mutant(
        "client-takes-a-recv-for-a-line",
        "a client prints what one recv() gives as one line",
        "client.py",
        "        self._server_lines.feed_data(data)\n",
        '        data = data.strip().replace(b"\\n", b" ") + b"\\n"\n'
        "        self._server_lines.feed_data(data)\n",
        "joined-by-tcp",
        "burst cut-by-tcp",
    ),
    Mutant(
        "server-decodes-pieces",
        "the server decodes each piece that comes, and drops what is no character",
        "room.py",
        "        self._decoder.feed_data(data)\n        self._take_lines(ALL_PAGES)\n",
        '        self._decoder.feed_data(data.decode("utf-8", "ignore").encode())\n'
        "        self._take_lines(ALL_PAGES)\n",
        "cut-by-tcp",
        "utf-8-in-pieces",
    ),
    Mutant(
        "client-decodes-pieces",
        "a client decodes each piece that comes, and drops what is no character",
        "client.py",
        "        self._server_lines.feed_data(data)\n",
        '        self._server_lines.feed_data(data.decode("utf-8", "ignore").encode())\n',
        "cut-by-tcp",
    ),
    Mutant(
        "keyboard-decodes-pieces",
        "a client decodes each piece that is typed, and drops what is no character",
        "client.py",
        "        self._connection.write(data)\n        self._ends_in_line",
        '        self._connection.write(data.decode("utf-8", "ignore").encode())\n'
        "        self._ends_in_line",
        "utf-8-in-pieces",
    ),
    Mutant(
        "ascii",
        "a client encodes what it shows as ASCII",
        "client.py",
        'text.encode("utf-8", "surrogateescape") + b"\\n")\n',
        'text.encode("ascii", "replace") + b"\\n")\n',
        "utf-8-in-pieces",
        "cut-by-tcp",
    ),
    Mutant(
        "long-lines-cut",
        "of a line 64 characters are received",
        "codec/dispatcher.py",
        "    def dispatch_plain(self, username: str, lines: bytes) -> Deliveries | None:\n",
        "    def dispatch_plain(self, username: str, lines: bytes) -> Deliveries | None:\n"
        '        lines = b"".join(line[:64] + b"\\n" for line in lines.splitlines())\n',
        "long-line",
    ),
    Mutant(
        "cr-kept",
        "the CR of a CR LF is shown",
        "codec/framing.py",
        '        return line[:-1] if line.endswith(b"\\r") else line\n',
        "        return line\n",
        "crlf",
    ),
    Mutant(
        "kill-unnoticed",
        "only `:Exit` takes a client out of the room",
        "room.py",
        "    def _part(self) -> None:\n        if self._cursor:\n",
        "    def _part(self) -> None:\n        if False:\n",
        "killed",
        "end-of-input interrupt",
    ),
    Mutant(
        "kill-announced-twice",
        "a connection that breaks is announced twice",
        "room.py",
        "    def _part(self) -> None:\n        if self._cursor:\n",
        "    def _part(self) -> None:\n        if self._cursor:\n"
        "            self._room._print_and_broadcast("
        'Deliveries(line := encode_line(f"{self._username} left the chatroom"), line), None)\n',
        "killed",
        "end-of-input interrupt",
    ),
    Mutant(
        "ten-at-most",
        "the eleventh client is not let in",
        "codec/dispatcher.py",
        "        check_username(username)\n",
        "        check_username(username)\n"
        "        if len(self._members) == 10:\n"
        '            raise ProtocolError("Server full")\n',
        "twenty-clients",
    ),
    Mutant(
        "namesake-throws-out",
        "who comes under a name that is taken throws out who has it",
        "room.py",
        "        except ProtocolError as error:\n            if str(error) == INCORRECT",
        "        except ProtocolError as error:\n"
        "            if namesake := self._room._members.get(request.username):\n"
        "                namesake.connection.close()\n"
        "            if str(error) == INCORRECT",
        "duplicate-name",
    ),
    Mutant(
        "unknown-name-crashes",
        "a message to nobody ends the connection with a KeyError",
        "codec/dispatcher.py",
        "        to = self._members.get(_fold(command.to))\n",
        "        to = self._members[_fold(command.to)]\n",
        "unknown-name",
    ),
    Mutant(
        "too-few-words-crash",
        "`:Msg` without its words ends the connection with an IndexError",
        "codec/commands.py",
        "    to, text = _split_word(argument)\n    return",
        "    to, text = argument.split()[0], _split_word(argument)[1]\n    return",
        "unknown-name",
    ),
    Mutant(
        "port-in-use-traceback",
        "a port in use is a traceback",
        "server.py",
        "        if error.errno == errno.EADDRINUSE:\n",
        "        raise\n        if error.errno == errno.EADDRINUSE:\n",
        "port-in-use",
    ),
    Mutant(
        "port-shared",
        "two servers may have the same port",
        "reactor/listener.py",
        "        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n",
        "        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n",
        "port-in-use",
    ),
    Mutant(
        "end-of-input-unnoticed",
        "a client stays when its input has ended",
        "client.py",
        '        if not self._ends_in_line:\n            self._connection.write(b"\\n")\n'
        "        self._leave(0)\n",
        "        pass\n",
        "end-of-input",
    ),
    Mutant(
        "interrupt-traceback",
        "Ctrl-C is a traceback in a client",
        "client.py",
        "    def _signal_received(self, number: int) -> None:\n",
        "    def _signal_received(self, number: int) -> None:\n        raise KeyboardInterrupt\n",
        "interrupt",
    ),
    Mutant(
        "server-interrupt-traceback",
        "Ctrl-C is a traceback in the server",
        "server.py",
        "    def _shut_down(self, number: int) -> None:\n",
        "    def _shut_down(self, number: int) -> None:\n        raise KeyboardInterrupt\n",
        "interrupt-server",
    ),
]

NO_MISTAKE = [
    Mutant(
        "other-wire-format",
        "the server's yes is another word on the wire",
        "codec/handshake.py",
        'OK = "OK"\n',
        'OK = "200 welcome to the room"\n',
    ),
    Mutant(
        "reads-by-sevens",
        "no more than seven bytes are received at once",
        "reactor/connection.py",
        "READ_BYTES = 64 * 1024\n",
        "READ_BYTES = 7\n",
    ),
    Mutant(
        "exit-status-3",
        "a client ends with status 3 after `:Exit`",
        "client.py",
        "        if self._has_typed_exit():\n            self._leave(0)\n",
        "        if self._has_typed_exit():\n            self._leave(3)\n",
    ),
    Mutant(
        "exit-takes-a-second",
        "a client takes most of a second to end",
        "client.py",
        "    client.run()\n",
        "    client.run()\n    import time; time.sleep(0.8)\n",
    ),
    Mutant(
        "users-backwards",
        "names in the order of leaving an old stack",
        "codec/dispatcher.py",
        "Active Users: {', '.join(self._members.values())}",
        "Active Users: {', '.join(reversed(self._members.values()))}",
    ),
    Mutant(
        "refusals-on-console",
        "the server shows who was refused",
        "room.py",
        "                self._room.gate.note_wrong_passcode(self.source)\n",
        "                self._room.gate.note_wrong_passcode(self.source)\n"
        '                self._room._console.write(b"Incorrect passcode\\n")\n',
    ),
    Mutant(
        "refused-and-kept-waiting",
        "the server leaves it to a refused client to end the connection",
        "room.py",
        "        self.connection.write(encode_line(format_refusal(error)))\n"
        "        self.connection.close()\n",
        "        self.connection.write(encode_line(format_refusal(error)))\n",
    ),
    Mutant(
        "day-without-zero",
        "a day of one digit has one character",
        "codec/text.py",
        " {day:02}",
        " {day}",
    ),
    Mutant(
        "namesakes-welcome",
        "several may have the same name: the assignment does not ask for more",
        "codec/dispatcher.py",
        "        if _fold(username) in self._members:\n",
        "        if False:\n",
    ),
    Mutant(
        "commands-in-one-case",
        "`:exit` and `:users` are text",
        "codec/commands.py",
        "_COMMANDS.get(word.lower())",
        "_COMMANDS.get(word[:1] + word[1:].swapcase()[:1] + word[2:])",
    ),
    Mutant(
        "interrupt-without-cleaning-up",
        "Ctrl-C ends a client as the kernel does",
        "client.py",
        "        Signals(self._reactor, ending_signals(), self._signal_received)\n",
        "",
    ),
    Mutant(
        "one-at-the-door",
        "a backlog of one",
        "reactor/listener.py",
        "BACKLOG = 1024\n",
        "BACKLOG = 1\n",
    ),
    Mutant(
        "hello-on-stderr",
        "the server logs on standard error who comes",
        "room.py",
        "        self.gate.admit(session)\n",
        "        self.gate.admit(session)\n"
        '        print("connection from", session.address, file=sys.stderr)\n',
    ),
]

MUTANTS = {"readme": README, "robustness": ROBUSTNESS, FREE: NO_MISTAKE}
