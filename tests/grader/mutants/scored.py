"""Mistakes that cost points, each with the cases in which it is seen.

Many are seen wherever a line is shown, so that sets of cases have names here. Lines that hold
nothing special take another way through our server (`dispatch_plain`) than the others.
"""

from __future__ import annotations

from tests.grader.mutants.mutant import Mutant

_TALK = (
    "five-clients exact-text exit-and-after burst cut-by-tcp utf-8-in-pieces long-line killed"
    " twenty-clients duplicate-name unknown-name"
)

PLAIN_ON_SERVER = f"persistent on-server kept-out {_TALK}"
"""Where the server shows a plain line."""

PLAIN_TO_OTHERS = f"to-others conversation {_TALK}"
"""Where others show one, and it is compared."""

SPECIAL_ON_SERVER = (
    "happy sad time later later-at-midnight escape escape-command joined-by-tcp crlf"
)
"""Where the server shows any other line that was said."""

SPECIAL_TO_OTHERS = f"{SPECIAL_ON_SERVER} within-a-line"

LEFT = "exit-announced killed end-of-input interrupt"

SERVER_SHOWS = (
    f"joined second-on-server next-one-enters {PLAIN_ON_SERVER} {SPECIAL_ON_SERVER} {LEFT}"
    " users-on-server message-on-server"
)
"""Where anything is seen on the server, but for its banner."""

GREETING = "connected second-connected newcomer-not-told next-one-enters"

ARRIVAL = "joined second-on-server next-one-enters"

CLIENT_SHOWS = (
    f"others-told {PLAIN_TO_OTHERS} {SPECIAL_TO_OTHERS} {LEFT} time-to-sender users kept-out"
    " message message-spaces message-both-ways"
)
"""Where anything is seen on a client that is in the room, and compared."""

ANYTHING = "not-to-sender feelings-not-to-sender users-not-to-others message-private"
"""Where anything will do, so that silence is not taken for good manners."""

_JOINED = (
    '        joined = encode_line(f"{username} joined the chatroom")\n'
    "        return Deliveries(joined, joined, private=((username, encode_line(OK)),))\n"
)
_LEFT = '        left = encode_line(f"{username} left the chatroom")\n'
_SAID = "        return Deliveries(shown, shown)\n"
_CONNECTED = (
    '            self._show(f"Connected to {self._flags.host} on port {self._flags.port}")\n'
)
_DISPATCHER = "codec/dispatcher.py"
_TEXT = "codec/text.py"

STARTING = [
    Mutant(
        "does-not-compile",
        "a bracket is missing in server.py",
        "server.py",
        'if __name__ == "__main__":\n    sys.exit(main())\n',
        'if __name__ == "__main__":\n    sys.exit(main()\n',
        "server-listens",
        "banner refused nearly-right port-in-use",
    ),
    Mutant(
        "fixed-port",
        "the server listens on 65432, whatever port is asked for",
        "server.py",
        "listen(HOST, flags.port)",
        "listen(HOST, 65432)",
        "server-listens",
    ),
    Mutant(
        "client-needs-root-folder",
        "the client reads a settings file that is on its author's machine alone",
        "client.py",
        "    reserve_standard_descriptors()\n    flags",
        '    open("settings.ini").close()\n    flags',
        "client-connects",
        "refused nearly-right",
    ),
    Mutant(
        "one-at-a-time",
        "the next client is served when the first has left",
        "room.py",
        "        self._decoder.feed_data(data)\n        self._take_lines(ALL_PAGES)\n",
        "        self._decoder.feed_data(data)\n"
        "        if self._cursor or not self._room._members:\n"
        "            self._take_lines(ALL_PAGES)\n",
        "second-served",
    ),
]

CONNECTION = [
    Mutant(
        "banner-dots",
        "three dots after the banner",
        "server.py",
        'Accepting connections\\n"',
        'Accepting connections...\\n"',
        "banner",
    ),
    Mutant(
        "banner-port",
        "the banner names a port that was not asked for",
        "server.py",
        "% self.port)",
        "% 65432)",
        "banner",
    ),
    Mutant(
        "banner-blank",
        "a blank at the end of the banner",
        "server.py",
        'Accepting connections\\n"',
        'Accepting connections \\n"',
        "banner",
    ),
    Mutant(
        "banner-open",
        "no newline after the banner",
        "server.py",
        'Accepting connections\\n"',
        'Accepting connections"',
        "banner",
    ),
    Mutant(
        "banner-stderr",
        "the banner is logged on standard error",
        "server.py",
        "        self._console.write(b",
        "        self._stderr.write(b",
        "banner",
    ),
    Mutant(
        "connected-colon",
        "host and port are shown as host:port",
        "client.py",
        "Connected to {self._flags.host} on port {self._flags.port}",
        "Connected to {self._flags.host}:{self._flags.port}",
        "connected",
        GREETING,
    ),
    Mutant(
        "connected-silent",
        "the client does not say that it is connected",
        "client.py",
        _CONNECTED,
        "",
        "connected",
        GREETING,
    ),
    Mutant(
        "welcome",
        "a line of welcome below",
        "client.py",
        _CONNECTED,
        _CONNECTED + '            self._show("Welcome to the chatroom!")\n',
        "connected",
        GREETING,
    ),
    Mutant(
        "has-joined",
        "`has joined` for `joined`",
        _DISPATCHER,
        "{username} joined the",
        "{username} has joined the",
        "joined",
        f"{ARRIVAL} others-told",
    ),
    Mutant(
        "joined-not-on-server",
        "the server does not show who has joined",
        _DISPATCHER,
        "Deliveries(joined, joined,",
        'Deliveries(b"", joined,',
        "joined",
        ARRIVAL,
    ),
    Mutant(
        "debugging-line",
        "the server shows every connection",
        "room.py",
        "        self.gate.admit(session)\n",
        '        self._console.write(b"New connection\\n")\n        self.gate.admit(session)\n',
        "joined",
        ARRIVAL,
    ),
    Mutant(
        "closes-after-a-line",
        "the server closes the connection after the first message",
        "room.py",
        "        self._room.deliver(deliveries, cursor)\n        return True\n",
        "        self._room.deliver(deliveries, cursor)\n"
        "        self.connection.close()\n        return True\n",
        "persistent",
        f"{PLAIN_ON_SERVER} {PLAIN_TO_OTHERS}",
    ),
    Mutant(
        "receives-once",
        "the server receives from each client once, not in a loop",
        "room.py",
        "        self._room.deliver(deliveries, cursor)\n        return True\n",
        "        self._room.deliver(deliveries, cursor)\n"
        "        self.connection.pause_reading()\n        return True\n",
        "persistent",
        "kept-out conversation exact-text",
    ),
]

CLIENTS = [
    Mutant(
        "tells-how-many",
        "a newcomer is told how many are there already",
        _DISPATCHER,
        _JOINED,
        _JOINED.replace(
            "encode_line(OK)",
            'encode_line(OK + f"\\n{len(self._members) - 1} online" * (len(self._members) > 1))',
        ),
        "second-connected",
        "newcomer-not-told",
    ),
    Mutant(
        "joined-once",
        "the server shows only the first who joins",
        _DISPATCHER,
        "Deliveries(joined, joined,",
        'Deliveries(b"" if len(self._members) > 1 else joined, joined,',
        "second-on-server",
    ),
    Mutant(
        "others-not-told",
        "nobody is told who has joined",
        _DISPATCHER,
        "Deliveries(joined, joined,",
        'Deliveries(joined, b"",',
        "others-told",
    ),
    Mutant(
        "others-told-twice",
        "the others are told twice",
        _DISPATCHER,
        "Deliveries(joined, joined,",
        "Deliveries(joined, joined * 2,",
        "others-told",
    ),
    Mutant(
        "first-forgotten",
        "a loop over the clients begins with the second",
        "reactor/fanout.py",
        "        if skip:\n            skip.skip(start)\n",
        "        for cursor in {skip, next(iter(self._live), None)} - {None}:\n"
        "            cursor.skip(start)\n",
        "others-told",
        f"five-clients conversation {LEFT} within-a-line duplicate-name twenty-clients"
        " time-to-sender",
    ),
    Mutant(
        "told-of-itself",
        "who joins is told of its own arrival",
        "room.py",
        "        self._print_and_broadcast(deliveries, skip=None)\n"
        "        cursor = self.fanout.subscribe(session.connection)\n"
        "        self._write_private(deliveries)\n",
        "        cursor = self.fanout.subscribe(session.connection)\n"
        "        self._write_private(deliveries)\n"
        "        self._print_and_broadcast(deliveries, skip=None)\n",
        "newcomer-not-told",
        GREETING,
    ),
    Mutant(
        "told-of-earlier-ones",
        "who joins is told of all who joined before",
        _DISPATCHER,
        _JOINED,
        _JOINED.replace(
            "encode_line(OK)",
            'encode_line("\\n".join([OK] + [f"{n} joined the chatroom" for n in'
            " self._members.values() if n != username]))",
        ),
        "newcomer-not-told",
        "second-connected",
    ),
    Mutant(
        "four-at-most",
        "the fifth client is not let in",
        _DISPATCHER,
        "        check_username(username)\n",
        "        check_username(username)\n"
        "        if len(self._members) == 4:\n"
        '            raise ProtocolError("Server full")\n',
        "five-clients",
        "twenty-clients",
    ),
]

BROADCAST = [
    Mutant(
        "no-space",
        "no space after the colon",
        _DISPATCHER,
        '        prefix = f"{username}: "',
        '        prefix = f"{username}:"',
        "on-server",
        f"{PLAIN_ON_SERVER} {PLAIN_TO_OTHERS}",
    ),
    Mutant(
        "server-does-not-print",
        "the server does not show what is said",
        _DISPATCHER,
        _SAID,
        '        return Deliveries(b"", shown)\n',
        "on-server",
        PLAIN_ON_SERVER,
    ),
    Mutant(
        "server-prints-twice",
        "the server shows everything twice",
        "room.py",
        "            self._console.write(deliveries.console)\n",
        "            self._console.write(deliveries.console * 2)\n",
        "on-server",
        SERVER_SHOWS,
    ),
    Mutant(
        "server-does-not-flush",
        "the server does not flush what it prints",
        "room.py",
        "            self._console.write(deliveries.console)\n",
        "            sys.stdout.buffer.write(deliveries.console)\n",
        "on-server",
        SERVER_SHOWS,
    ),
    Mutant(
        "server-blank-lines",
        "the server prints an empty line below each line",
        "room.py",
        "            self._console.write(deliveries.console)\n",
        '            self._console.write(deliveries.console + b"\\n")\n',
        "on-server",
        SERVER_SHOWS,
    ),
    Mutant(
        "not-broadcast",
        "what is said is shown on the server alone",
        _DISPATCHER,
        _SAID,
        '        return Deliveries(shown, b"")\n',
        "to-others",
        f"{PLAIN_TO_OTHERS} not-to-sender",
    ),
    Mutant(
        "others-without-name",
        "the others do not see who has said it",
        _DISPATCHER,
        _SAID,
        "        return Deliveries(shown, lines)\n",
        "to-others",
        PLAIN_TO_OTHERS,
    ),
    Mutant(
        "client-does-not-receive",
        "a client shows nothing of what comes, since it waits for its user",
        "client.py",
        "            self._show(decode_text(line))\n            return\n",
        "            return\n",
        "to-others",
        f"{CLIENT_SHOWS} {ANYTHING}",
    ),
    Mutant(
        "client-does-not-flush",
        "a client does not flush what it prints",
        "client.py",
        '            self._screen.write(text.encode("utf-8", "surrogateescape") + b"\\n")\n',
        '            sys.stdout.write(text + "\\n")\n',
        "to-others",
        f"{GREETING} {CLIENT_SHOWS} {ANYTHING} exit-ends",
    ),
    Mutant(
        "client-blank-lines",
        "a client prints the newline that came and one more",
        "client.py",
        '"surrogateescape") + b"\\n")\n',
        '"surrogateescape") + b"\\n\\n")\n',
        "to-others",
        f"{GREETING} {CLIENT_SHOWS} refused nearly-right",
    ),
    Mutant(
        "echo",
        "what is said goes back to who said it",
        "room.py",
        "None if deliveries.room_and_self else sender)",
        "None)",
        "not-to-sender",
        "feelings-not-to-sender",
    ),
    Mutant(
        "own-line",
        "a client prints what its own user types",
        "client.py",
        "        self._connection.write(data)\n        self._ends_in_line",
        "        self._connection.write(data)\n"
        "        self._screen.write(data)\n        self._ends_in_line",
        "not-to-sender",
        "feelings-not-to-sender time-to-sender users kept-out exit-ends message-private"
        " exit-and-after",
    ),
    Mutant(
        "prompt",
        "a client prompts its user for each line",
        "client.py",
        "        self._connection.write(data)\n        self._ends_in_line",
        "        self._connection.write(data)\n"
        '        self._screen.write(b"> ")\n        self._ends_in_line',
        "not-to-sender",
        "feelings-not-to-sender time-to-sender users kept-out exit-ends message-private"
        " exit-and-after",
    ),
    Mutant(
        "deaf-once-it-has-spoken",
        "a client receives no more once its user has typed",
        "client.py",
        "        self._connection.write(data)\n        self._ends_in_line",
        "        self._connection.write(data)\n"
        "        self._connection.pause_reading()\n        self._ends_in_line",
        "conversation",
        "five-clients time-to-sender users users-not-to-others kept-out exit-ends exit-and-after"
        " message-both-ways twenty-clients",
    ),
    Mutant(
        "spaces-collapsed",
        "several spaces become one",
        _DISPATCHER,
        'prefix + lines[:-1].replace(b"\\n"',
        'prefix + lines[:-1].replace(b"  ", b" ").replace(b"\\n"',
        "exact-text",
    ),
    Mutant(
        "percent",
        "what is said is used as a format",
        _DISPATCHER,
        'prefix + lines[:-1].replace(b"\\n"',
        'prefix + (lines[:-1] % ()).replace(b"\\n"',
        "exact-text",
    ),
    Mutant(
        "exit-anywhere",
        "a client leaves when `Exit` stands anywhere in a line",
        "codec/commands.py",
        '    return line.startswith(b":") and parse_command(decode_text(line)).verb == EXIT\n',
        '    return b"Exit" in line\n',
        "exact-text",
        "escape-command",
    ),
]

_RIGHT = "hmac.compare_digest(join.passcode, self._passcode)"
_SHOW_REFUSED = "                self._show(str(refused))\n"

PASSCODE = [
    Mutant(
        "no-passcode",
        "every passcode is right",
        _DISPATCHER,
        f"        if not {_RIGHT}:\n",
        "        if False:\n",
        "refused",
        "nearly-right kept-out",
    ),
    Mutant(
        "refused-otherwise",
        "`Incorrect password` for `Incorrect passcode`",
        "codec/handshake.py",
        '"Incorrect passcode"',
        '"Incorrect password"',
        "refused",
        "nearly-right",
    ),
    Mutant(
        "refused-on-stderr",
        "the refusal is shown on standard error",
        "client.py",
        _SHOW_REFUSED,
        "                self._log(str(refused))\n",
        "refused",
        "nearly-right",
    ),
    Mutant(
        "refused-with-more",
        "the refusal is shown with a word before it",
        "client.py",
        _SHOW_REFUSED,
        '                self._show(f"Error: {refused}")\n',
        "refused",
        "nearly-right",
    ),
    Mutant(
        "connected-whatever-is-said",
        "a client says that it is connected, whatever the server answers",
        "codec/handshake.py",
        "        raise RefusedError(text.removeprefix(_REASON_PREFIX))\n",
        "        return\n",
        "refused",
        "nearly-right",
    ),
    Mutant(
        "prefix",
        "a beginning of the passcode is enough",
        _DISPATCHER,
        _RIGHT,
        "self._passcode.startswith(join.passcode)",
        "nearly-right",
    ),
    Mutant(
        "five-characters",
        "only the first five characters are compared",
        _DISPATCHER,
        _RIGHT,
        "hmac.compare_digest(join.passcode[:5], self._passcode)",
        "nearly-right",
    ),
    Mutant(
        "passcode-case",
        "the case of letters does not matter in the passcode",
        _DISPATCHER,
        _RIGHT,
        "hmac.compare_digest(join.passcode.lower(), self._passcode)",
        "nearly-right",
    ),
    Mutant(
        "open-after-one",
        "once somebody is in, every passcode is right",
        _DISPATCHER,
        _RIGHT,
        f"({_RIGHT} or self._members)",
        "kept-out",
    ),
    Mutant(
        "announced-before-the-passcode",
        "who is refused is announced all the same",
        "room.py",
        "        except ProtocolError as error:\n            if str(error) == INCORRECT",
        "        except ProtocolError as error:\n"
        '            line = encode_line(f"{request.username} joined the chatroom")\n'
        "            self._room.fanout.broadcast(line)\n"
        "            if str(error) == INCORRECT",
        "kept-out",
    ),
    Mutant(
        "refusals-logged",
        "the server shows who was refused",
        "room.py",
        "                self._room.gate.note_wrong_passcode(self.source)\n",
        "                self._room.gate.note_wrong_passcode(self.source)\n"
        '                self._room._console.write(b"Incorrect passcode\\n")\n',
        "kept-out",
        flags=("--strict",),
    ),
    Mutant(
        "refusal-complains",
        "a refused client complains on standard error as well",
        "client.py",
        _SHOW_REFUSED,
        f'{_SHOW_REFUSED}                self._log("error: not let in")\n',
        "refused",
        flags=("--strict",),
    ),
    Mutant(
        "passcode-overwritten",
        "a wrong passcode takes the place of the right one",
        _DISPATCHER,
        "            raise ProtocolError(INCORRECT_PASSCODE)\n        username = join",
        "            self._passcode += join.passcode\n"
        "            raise ProtocolError(INCORRECT_PASSCODE)\n        username = join",
        "next-one-enters",
    ),
    Mutant(
        "server-ends-on-refusal",
        "the server ends when it has refused somebody",
        "room.py",
        "            self.turn_away(error)\n            return\n        self._deadline.cancel()\n",
        "            self.turn_away(error)\n"
        "            self.connection.flush()\n            self._room.reactor.stop()\n"
        "            return\n        self._deadline.cancel()\n",
        "next-one-enters",
        "nearly-right kept-out duplicate-name",
    ),
]

_FACES = '_FACES = {":)": "[feeling happy]", ":(": "[feeling sad]"}\n'
_TIMES = '_TIMES = {":mytime": 0, ":+1hr": 3600}\n'
_TOLD = "        return Deliveries(line, line, tells_time)\n"
_CLOCK = '    return f"{date} {hour:02}:{minute:02}:{second:02} {year}"\n'
_ALL_TIMES = "time time-to-sender later later-at-midnight"
_PRIVATE = "        return Deliveries(console, private=((to, line),))\n"
_MESSAGE_LINE = '"[Message from {username}]: {text}"'
_USERS_LINE = "Active Users: {', '.join(self._members.values())}"
_MESSAGE_SHOWN = "message message-spaces message-both-ways"

SHORTCUTS = [
    Mutant(
        "happy-case",
        "`[feeling Happy]`",
        _TEXT,
        _FACES,
        _FACES.replace("happy", "Happy"),
        "happy",
        "within-a-line joined-by-tcp",
    ),
    Mutant(
        "happy-alone",
        "the sender's name is missing before a feeling",
        _DISPATCHER,
        '        line = encode_line(f"{username}: {text}")\n',
        '        line = encode_line(text if "[feeling" in text else f"{username}: {text}")\n',
        "happy",
        "sad joined-by-tcp within-a-line",
    ),
    Mutant(
        "sad-missing",
        "`:(` is not translated",
        _TEXT,
        _FACES,
        '_FACES = {":)": "[feeling happy]"}\n',
        "sad",
    ),
    Mutant(
        "feelings-swapped",
        "happy is sad, and sad is happy",
        _TEXT,
        _FACES,
        '_FACES = {":(": "[feeling happy]", ":)": "[feeling sad]"}\n',
        "sad",
        "happy within-a-line joined-by-tcp",
    ),
    Mutant(
        "raw-on-server",
        "the server shows the shortcut as it was typed",
        _DISPATCHER,
        _TOLD,
        '        raw = encode_line(f"{username}: {command.text}")\n'
        "        return Deliveries(raw, line, tells_time)\n",
        "happy",
        "sad time later later-at-midnight escape escape-command joined-by-tcp",
    ),
    Mutant(
        "translated-for-the-server",
        "the others see the shortcut as it was typed",
        _DISPATCHER,
        _TOLD,
        '        raw = encode_line(f"{username}: {command.text}")\n'
        "        return Deliveries(line, raw, tells_time)\n",
        "happy",
        f"sad {_ALL_TIMES} escape escape-command joined-by-tcp",
    ),
    Mutant(
        "feelings-to-sender",
        "who is happy is shown it, too",
        _DISPATCHER,
        _TOLD,
        "        return Deliveries(line, line, True)\n",
        "feelings-not-to-sender",
    ),
    Mutant(
        "time-iso",
        "times are told as 2025-09-24 12:31:44",
        _TEXT,
        _CLOCK,
        '    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"\n',
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-without-weekday",
        "the weekday is missing",
        _TEXT,
        "{_WEEKDAYS[weekday]} {_MONTHS",
        "{_MONTHS",
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-twelve-hours",
        "%I for %H: two in the afternoon is told as 02",
        _TEXT,
        _CLOCK,
        '    return f"{date} {(hour - 1) % 12 + 1:02}:{minute:02}:{second:02} {year}"\n',
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-universal",
        "universal time instead of the local one",
        "server.py",
        "time.localtime(time.time() + seconds)",
        "time.gmtime(time.time() + seconds)",
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-of-the-start",
        "the time is asked for once, when the server starts",
        "server.py",
        "            flags.passcode, lambda seconds: time.localtime(time.time() + seconds)\n",
        "            flags.passcode,\n"
        "            lambda seconds, now=time.time() - 1: time.localtime(now + seconds),\n",
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-not-to-sender",
        "times are told to all others, as feelings are",
        _DISPATCHER,
        _TOLD,
        "        return Deliveries(line, line)\n",
        "time-to-sender",
    ),
    Mutant(
        "time-to-sender-alone",
        "times are told to the sender alone",
        _DISPATCHER,
        _TOLD,
        "        if tells_time:\n"
        "            return Deliveries(line, private=((username, line),))\n"
        "        return Deliveries(line, line)\n",
        "time",
        "later later-at-midnight",
    ),
    Mutant(
        "later-missing",
        "`:+1hr` is not known",
        _TEXT,
        _TIMES,
        '_TIMES = {":mytime": 0}\n',
        "later",
        "later-at-midnight time-to-sender",
    ),
    Mutant(
        "later-a-minute",
        "`:+1hr` adds a minute",
        _TEXT,
        _TIMES,
        _TIMES.replace("3600", "60"),
        "later",
        "later-at-midnight time-to-sender",
    ),
    Mutant(
        "later-same-day",
        "`:+1hr` adds 1 to the hour, and leaves the day",
        "server.py",
        "lambda seconds: time.localtime(time.time() + seconds)\n",
        "lambda seconds: (\n"
        "                (now := time.localtime())[:3]\n"
        "                + ((now[3] + seconds // 3600) % 24,) + now[4:7]\n"
        "            )\n",
        "later-at-midnight",
    ),
    Mutant(
        "later-24",
        "`:+1hr` adds 1 to the hour, which may become 24",
        "server.py",
        "lambda seconds: time.localtime(time.time() + seconds)\n",
        "lambda seconds: (\n"
        "                (now := time.localtime())[:3] + (now[3] + seconds // 3600,) + now[4:7]\n"
        "            )\n",
        "later-at-midnight",
    ),
    Mutant(
        "users-without-space",
        "names are joined by a comma alone",
        _DISPATCHER,
        _USERS_LINE,
        "Active Users: {','.join(self._members.values())}",
        "users",
        "exit-and-after",
    ),
    Mutant(
        "users-case",
        "`Active users`",
        _DISPATCHER,
        "Active Users: {",
        "Active users: {",
        "users",
        "kept-out exit-and-after",
    ),
    Mutant(
        "users-without-asker",
        "who asks is not on the list",
        _DISPATCHER,
        "        if not self._users_line:\n            self._users_line = encode_line("
        "f\"Active Users: {', '.join(self._members.values())}\")\n",
        "        others = [name for name in self._members.values() if name != username]\n"
        "        self._users_line = encode_line(f\"Active Users: {', '.join(others)}\")\n",
        "users",
        "kept-out exit-and-after",
    ),
    Mutant(
        "users-sorted",
        "names in the order of the alphabet",
        _DISPATCHER,
        _USERS_LINE,
        "Active Users: {', '.join(sorted(self._members.values()))}",
        "users",
        flags=("--strict",),
    ),
    Mutant(
        "users-not-on-server",
        "the server does not show who asked",
        _DISPATCHER,
        "Deliveries(console, private=((username, self._users_line),))",
        "Deliveries(private=((username, self._users_line),))",
        "users-on-server",
    ),
    Mutant(
        "users-to-all",
        "the list goes to everybody",
        _DISPATCHER,
        "Deliveries(console, private=((username, self._users_line),))",
        "Deliveries(console, self._users_line, room_and_self=True)",
        "users-not-to-others",
    ),
    Mutant(
        "message-first-word",
        "only the first word of a private message arrives",
        "codec/commands.py",
        "Command(MESSAGE, text, to) if text",
        "Command(MESSAGE, text.split()[0], to) if text",
        "message",
        "message-spaces message-both-ways",
    ),
    Mutant(
        "message-without-sender",
        "who sends a private message is not shown",
        _DISPATCHER,
        _MESSAGE_LINE,
        '"[Message]: {text}"',
        "message",
        _MESSAGE_SHOWN,
    ),
    Mutant(
        "message-text-on-server",
        "the server shows the private message itself",
        _DISPATCHER,
        "{username}: send message to {to}",
        "{username}: send message to {to}: {text}",
        "message-on-server",
    ),
    Mutant(
        "message-sent-on-server",
        "`sent` for `send`, as English would have it",
        _DISPATCHER,
        "{username}: send message to {to}",
        "{username}: sent message to {to}",
        "message-on-server",
    ),
    Mutant(
        "message-to-all",
        "a private message is shown to all others",
        _DISPATCHER,
        _PRIVATE,
        "        return Deliveries(console, line)\n",
        "message-private",
    ),
    Mutant(
        "message-to-sender-too",
        "a private message is shown to who sends it",
        _DISPATCHER,
        _PRIVATE,
        "        return Deliveries(console, private=((to, line), (username, line)))\n",
        "message-private",
    ),
    Mutant(
        "exit-stays",
        "a client that has left does not end",
        "client.py",
        "            self._fail(_GONE)\n        self._reactor.stop()\n",
        "            self._fail(_GONE)\n"
        "        self._deadline = 1e9\n        self._keyboard.resume()\n",
        "exit-ends",
        "end-of-input interrupt",
    ),
    Mutant(
        "exit-empty-line",
        "a client prints an empty line when it ends",
        "client.py",
        "        self.exit_status = exit_status\n        self._is_leaving = True\n",
        "        self.exit_status = exit_status\n        self._is_leaving = True\n"
        '        self._screen.write(b"\\n")\n',
        "exit-ends",
    ),
    Mutant(
        "exit-traceback",
        "a client uses its socket after it has closed it",
        "client.py",
        "    client.run()\n",
        "    client.run()\n    socket.socket(fileno=sock.detach()).getpeername()\n",
        "exit-ends",
        "end-of-input interrupt interrupt-server",
    ),
    Mutant(
        "exit-status",
        "a client ends with status 1 after `:Exit`",
        "client.py",
        "        if self._has_typed_exit():\n            self._leave(0)\n",
        "        if self._has_typed_exit():\n            self._leave(1)\n",
        "exit-ends",
        flags=("--strict",),
    ),
    Mutant(
        "exit-ends-the-server",
        "the server ends with the first who leaves",
        "room.py",
        '            self._room.journal.note_end(":Exit")\n',
        '            self._room.journal.note_end(":Exit")\n            sys.exit()\n',
        "exit-ends",
        "exit-announced exit-and-after",
    ),
    Mutant(
        "left-twice",
        "a departure is announced at `:Exit` and at the end of the connection",
        "room.py",
        "            self._end_membership(self._cursor, deliveries)\n"
        "            self.connection.close()\n",
        "            self._end_membership(self._cursor, deliveries)\n"
        "            self._room._print_and_broadcast(deliveries, None)\n"
        "            self.connection.close()\n",
        "exit-announced",
    ),
    Mutant(
        "left-not-on-server",
        "the server does not show who has left",
        _DISPATCHER,
        "        return Deliveries(left, left, leaves=True)\n",
        '        return Deliveries(b"", left, leaves=True)\n',
        "exit-announced",
        LEFT,
    ),
    Mutant(
        "left-not-to-others",
        "the others are not told who has left",
        _DISPATCHER,
        "        return Deliveries(left, left, leaves=True)\n",
        '        return Deliveries(left, b"", leaves=True)\n',
        "exit-announced",
        LEFT,
    ),
    Mutant(
        "still-on-the-list",
        "who has left is still on the list",
        _DISPATCHER,
        "        del self._members[_fold(username)]\n",
        "",
        "exit-and-after",
    ),
]

MUTANTS = {
    "start": STARTING,
    "connection": CONNECTION,
    "clients": CLIENTS,
    "broadcast": BROADCAST,
    "passcode": PASSCODE,
    "shortcuts": SHORTCUTS,
}
"""Each group of the rubric that has points, and the one on which all rest."""
