"""Mistakes that cost points, each with the cases in which it is seen.

Many are seen wherever a line is shown, so that sets of cases have names here. Lines that hold
nothing special take another way through our server (`dispatch_plain`) than the others.
"""

from __future__ import annotations

from tests.grader.mutants.mutant import Mutant, Truncated

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

_BANNER = r'b"Server started on port %d. Accepting connections\n"'
_TAKE_ANSWER = "Client._take_server_line"
_CONNECTED_TEXT = 'f"Connected to {self._host} on port {self._port}"'
_CONNECTED = f"self._screen.show({_CONNECTED_TEXT})"
_CHECK = "Dispatcher.check"
_JOIN = "Dispatcher.join"
_JOINED = "Event(Kind.JOINED, username, joined, joined, private=ok)"
_TAKE_PLAIN = "self._bus.submit(event)"
_PLAIN = "Dispatcher.dispatch_plain"
_SAID = "Event(Kind.SAID, username, shown, shown)"
_SHOW = "Server._make_room"
_SHOWN = "self._console.write(event.console)"
_SEND_TYPED = "self._connection.write(data)"

STARTING = [
    Truncated(
        "does-not-compile",
        "a bracket is missing in server.py",
        "server.py",
        ")\n",
        "\n",
        "server-listens",
        "banner refused nearly-right port-in-use",
    ),
    Mutant(
        "fixed-port",
        "the server listens on 65432, whatever port is asked for",
        "Server.__init__",
        "flags.port",
        "65432",
        "server-listens",
    ),
    Mutant(
        "client-needs-root-folder",
        "the client reads a settings file that is on its author's machine alone",
        "client:main",
        "reserve_standard_descriptors()",
        'open("settings.ini").close()',
        "client-connects",
        "refused nearly-right",
    ),
    Mutant(
        "one-at-a-time",
        "the next client is served when the first has left",
        "Guest.data_received",
        "self._decoder.feed_data(data)",
        "...\nif self._host._members:\n    return",
        "second-served",
    ),
]

CONNECTION = [
    Mutant(
        "banner-dots",
        "three dots after the banner",
        "Server.run",
        _BANNER,
        _BANNER.replace("connections", "connections..."),
        "banner",
    ),
    Mutant(
        "banner-port",
        "the banner names a port that was not asked for",
        "Server.run",
        "self.port",
        "65432",
        "banner",
    ),
    Mutant(
        "banner-blank",
        "a blank at the end of the banner",
        "Server.run",
        _BANNER,
        _BANNER.replace("connections", "connections "),
        "banner",
    ),
    Mutant(
        "banner-open",
        "no newline after the banner",
        "Server.run",
        _BANNER,
        _BANNER.replace("\\n", ""),
        "banner",
    ),
    Mutant(
        "banner-stderr",
        "the banner is logged on standard error",
        "Server.run",
        "self._console.write",
        "self._stderr.write",
        "banner",
    ),
    Mutant(
        "connected-colon",
        "host and port are shown as host:port",
        _TAKE_ANSWER,
        _CONNECTED_TEXT,
        _CONNECTED_TEXT.replace(" on port ", ":"),
        "connected",
        GREETING,
    ),
    Mutant(
        "connected-silent",
        "the client does not say that it is connected",
        _TAKE_ANSWER,
        _CONNECTED,
        "",
        "connected",
        GREETING,
    ),
    Mutant(
        "welcome",
        "a line of welcome below",
        _TAKE_ANSWER,
        _CONNECTED,
        '...\nself._screen.show("Welcome to the chatroom!")',
        "connected",
        GREETING,
    ),
    Mutant(
        "has-joined",
        "`has joined` for `joined`",
        _JOIN,
        'f"{username} joined the chatroom"',
        'f"{username} has joined the chatroom"',
        "joined",
        f"{ARRIVAL} others-told",
    ),
    Mutant(
        "joined-not-on-server",
        "the server does not show who has joined",
        _JOIN,
        _JOINED,
        _JOINED.replace("joined", 'b""', 1),
        "joined",
        ARRIVAL,
    ),
    Mutant(
        "debugging-line",
        "the server shows every connection",
        "Room.arrive",
        "self.gate.arrive(guest)",
        'self._bus.submit(Event(Kind.NOTICE, "", b"New connection\\n"))\n...',
        "joined",
        ARRIVAL,
    ),
    Mutant(
        "closes-after-a-line",
        "the server closes the connection after the first message",
        "Room.take_plain",
        _TAKE_PLAIN,
        "...\nmember.connection.close()",
        "persistent",
        f"{PLAIN_ON_SERVER} {PLAIN_TO_OTHERS}",
    ),
    Mutant(
        "receives-once",
        "the server receives from each client once, not in a loop",
        "Room.take_plain",
        _TAKE_PLAIN,
        "...\nmember.connection.pause_reading()",
        "persistent",
        "kept-out conversation exact-text",
    ),
]

CLIENTS = [
    Mutant(
        "tells-how-many",
        "a newcomer is told how many are there already",
        _JOIN,
        "encode_line(OK)",
        'encode_line(OK + "".join(f"\\n{n} online" for n in {len(self._roster.usernames)} - {0}))',
        "second-connected",
        "newcomer-not-told",
    ),
    Mutant(
        "joined-once",
        "the server shows only the first who joins",
        _JOIN,
        _JOINED,
        _JOINED.replace("joined", 'b"" if self._roster.usernames else joined', 1),
        "second-on-server",
    ),
    Mutant(
        "others-not-told",
        "nobody is told who has joined",
        _JOIN,
        _JOINED,
        _JOINED.replace("joined, joined", 'joined, b""'),
        "others-told",
    ),
    Mutant(
        "others-told-twice",
        "the others are told twice",
        _JOIN,
        _JOINED,
        _JOINED.replace("joined, joined", "joined, joined * 2"),
        "others-told",
    ),
    Mutant(
        "first-forgotten",
        "a loop over the clients begins with the second",
        "Fanout.broadcast",
        "if skip:\n    skip.skip(start)",
        "for cursor in {skip, next(iter(self._live), None)} - {None}:\n    cursor.skip(start)",
        "others-told",
        f"five-clients conversation {LEFT} within-a-line duplicate-name twenty-clients"
        " time-to-sender",
    ),
    Mutant(
        "told-of-itself",
        "who joins is told of its own arrival",
        _JOIN,
        "encode_line(OK)",
        "encode_line(OK) + joined",
        "newcomer-not-told",
        GREETING,
    ),
    Mutant(
        "told-of-earlier-ones",
        "who joins is told of all who joined before",
        _JOIN,
        "encode_line(OK)",
        'encode_line("\\n".join([OK] + [f"{n} joined the chatroom" for n in '
        "self._roster.usernames]))",
        "newcomer-not-told",
        "second-connected",
    ),
    Mutant(
        "four-at-most",
        "the fifth client is not let in",
        _CHECK,
        "check_username(join.username)",
        '...\nif len(self._roster.usernames) == 4:\n    raise ProtocolError("Server full")',
        "five-clients",
        "twenty-clients",
    ),
]

BROADCAST = [
    Mutant(
        "no-space",
        "no space after the colon",
        _PLAIN,
        'f"{username}: "',
        'f"{username}:"',
        "on-server",
        f"{PLAIN_ON_SERVER} {PLAIN_TO_OTHERS}",
    ),
    Mutant(
        "server-does-not-print",
        "the server does not show what is said",
        _PLAIN,
        _SAID,
        'Event(Kind.SAID, username, b"", shown)',
        "on-server",
        PLAIN_ON_SERVER,
    ),
    Mutant(
        "server-prints-twice",
        "the server shows everything twice",
        _SHOW,
        _SHOWN,
        "self._console.write(event.console * 2)",
        "on-server",
        SERVER_SHOWS,
    ),
    Mutant(
        "server-does-not-flush",
        "the server does not flush what it prints",
        _SHOW,
        _SHOWN,
        "sys.stdout.buffer.write(event.console)",
        "on-server",
        SERVER_SHOWS,
    ),
    Mutant(
        "server-blank-lines",
        "the server prints an empty line below each line",
        _SHOW,
        _SHOWN,
        'self._console.write(event.console and event.console + b"\\n")',
        "on-server",
        SERVER_SHOWS,
    ),
    Mutant(
        "not-broadcast",
        "what is said is shown on the server alone",
        _PLAIN,
        _SAID,
        'Event(Kind.SAID, username, shown, b"")',
        "to-others",
        f"{PLAIN_TO_OTHERS} not-to-sender",
    ),
    Mutant(
        "others-without-name",
        "the others do not see who has said it",
        _PLAIN,
        _SAID,
        "Event(Kind.SAID, username, shown, lines)",
        "to-others",
        PLAIN_TO_OTHERS,
    ),
    Mutant(
        "client-does-not-receive",
        "a client shows nothing of what comes, since it waits for its user",
        _TAKE_ANSWER,
        "self._screen.show(decode_text(line))",
        "",
        "to-others",
        f"{CLIENT_SHOWS} {ANYTHING}",
    ),
    Mutant(
        "client-does-not-flush",
        "a client does not flush what it prints",
        "PlainScreen.show",
        'self._stdout.write(text.encode("utf-8", "surrogateescape") + b"\\n")',
        "print(text)",
        "to-others",
        f"{GREETING} {CLIENT_SHOWS} {ANYTHING} exit-ends",
    ),
    Mutant(
        "client-blank-lines",
        "a client prints the newline that came and one more",
        "PlainScreen.show",
        r'b"\n"',
        r'b"\n\n"',
        "to-others",
        f"{GREETING} {CLIENT_SHOWS} refused nearly-right",
    ),
    Mutant(
        "echo",
        "what is said goes back to who said it",
        "Room.apply",
        "None if event.to_origin else self._members.get(event.origin)",
        "None",
        "not-to-sender",
        "feelings-not-to-sender",
    ),
    Mutant(
        "own-line",
        "a client prints what its own user types",
        "Client.typed",
        _SEND_TYPED,
        "...\nself._screen._stdout.write(data)",
        "not-to-sender",
        "feelings-not-to-sender time-to-sender users kept-out exit-ends message-private"
        " exit-and-after",
    ),
    Mutant(
        "prompt",
        "a client prompts its user for each line",
        "Client.typed",
        _SEND_TYPED,
        '...\nself._screen._stdout.write(b"> ")',
        "not-to-sender",
        "feelings-not-to-sender time-to-sender users kept-out exit-ends message-private"
        " exit-and-after",
    ),
    Mutant(
        "deaf-once-it-has-spoken",
        "a client receives no more once its user has typed",
        "Client.typed",
        _SEND_TYPED,
        "...\nself._connection.pause_reading()",
        "conversation",
        "five-clients time-to-sender users users-not-to-others kept-out exit-ends exit-and-after"
        " message-both-ways twenty-clients",
    ),
    Mutant(
        "spaces-collapsed",
        "several spaces become one",
        _PLAIN,
        "lines[:-1]",
        'lines[:-1].replace(b"  ", b" ")',
        "exact-text",
    ),
    Mutant(
        "percent",
        "what is said is used as a format",
        _PLAIN,
        "lines[:-1]",
        "(lines[:-1] % ())",
        "exact-text",
    ),
    Mutant(
        "exit-anywhere",
        "a client leaves when `Exit` stands anywhere in a line",
        "is_exit",
        'line.startswith(b":") and parse_command(decode_text(line)).verb == EXIT',
        'b"Exit" in line',
        "exact-text",
        "escape-command",
    ),
]

_RIGHT = "hmac.compare_digest(join.passcode, self._passcode)"
_SHOW_REFUSED = "self._screen.show(str(refused))"

PASSCODE = [
    Mutant(
        "no-passcode",
        "every passcode is right",
        _CHECK,
        f"not {_RIGHT}",
        "False",
        "refused",
        "nearly-right kept-out",
    ),
    Mutant(
        "refused-otherwise",
        "`Incorrect password` for `Incorrect passcode`",
        "INCORRECT_PASSCODE",
        '"Incorrect passcode"',
        '"Incorrect password"',
        "refused",
        "nearly-right",
    ),
    Mutant(
        "refused-on-stderr",
        "the refusal is shown on standard error",
        _TAKE_ANSWER,
        _SHOW_REFUSED,
        "self._screen.complain(str(refused))",
        "refused",
        "nearly-right",
    ),
    Mutant(
        "refused-with-more",
        "the refusal is shown with a word before it",
        _TAKE_ANSWER,
        _SHOW_REFUSED,
        'self._screen.show(f"Error: {refused}")',
        "refused",
        "nearly-right",
    ),
    Mutant(
        "connected-whatever-is-said",
        "a client says that it is connected, whatever the server answers",
        "parse_answer",
        "raise RefusedError(code, name=reason.removeprefix(code))",
        "return",
        "refused",
        "nearly-right",
    ),
    Mutant(
        "prefix",
        "a beginning of the passcode is enough",
        _CHECK,
        _RIGHT,
        "self._passcode.startswith(join.passcode)",
        "nearly-right",
    ),
    Mutant(
        "five-characters",
        "only the first five characters are compared",
        _CHECK,
        _RIGHT,
        "hmac.compare_digest(join.passcode[:5], self._passcode)",
        "nearly-right",
    ),
    Mutant(
        "passcode-case",
        "the case of letters does not matter in the passcode",
        _CHECK,
        _RIGHT,
        "hmac.compare_digest(join.passcode.lower(), self._passcode)",
        "nearly-right",
    ),
    Mutant(
        "open-after-one",
        "once somebody is in, every passcode is right",
        _CHECK,
        _RIGHT,
        f"({_RIGHT} or self._roster.usernames)",
        "kept-out",
    ),
    Mutant(
        "announced-before-the-passcode",
        "who is refused is announced all the same",
        "Room.join",
        "error.code == INCORRECT_PASSCODE",
        'line = encode_line(f"{request.username} joined the chatroom")\n'
        "self.fanout.broadcast(line)\n"
        "...",
        "kept-out",
    ),
    Mutant(
        "refusals-logged",
        "the server shows who was refused",
        "Room.join",
        "self.gate.note_wrong_passcode(guest.source)",
        '...\nself._bus.submit(Event(Kind.NOTICE, "", b"Incorrect passcode\\n"))',
        "kept-out",
        flags=("--strict",),
    ),
    Mutant(
        "refusal-complains",
        "a refused client complains on standard error as well",
        _TAKE_ANSWER,
        _SHOW_REFUSED,
        '...\nself._screen.complain("error: not let in")',
        "refused",
        flags=("--strict",),
    ),
    Mutant(
        "passcode-overwritten",
        "a wrong passcode takes the place of the right one",
        _CHECK,
        "raise ProtocolError(INCORRECT_PASSCODE)",
        "self._passcode += join.passcode\n...",
        "next-one-enters",
    ),
    Mutant(
        "server-ends-on-refusal",
        "the server ends when it has refused somebody",
        "Room.join",
        "guest.turn_away(error)",
        "...\nguest.connection.flush()\nself._reactor.stop()",
        "next-one-enters",
        "nearly-right kept-out duplicate-name",
    ),
]

_FACES = '{":)": "[feeling happy]", ":(": "[feeling sad]"}'
_TOLD = "Event(Kind.SAID, username, line, line, tells_time)"
_CLOCK = 'f"{date} {hour:02}:{minute:02}:{second:02} {year}"'
_DATE = 'f"{_WEEKDAYS[weekday]} {_MONTHS[month - 1]} {day:02}"'
_ALL_TIMES = "time time-to-sender later later-at-midnight"
_PRIVATE = "Event(Kind.PRIVATE, username, console, private=((to, line),))"
_MESSAGE_NOTED = 'f"{username}: send message to {to}"'
_USERS_LINE = "f\"Active Users: {', '.join(self._members.values())}\""
_LISTED = "_notice(username, self._roster.users_line, console)"
_LEAVES = "Event(Kind.LEFT, username, left, left)"
_MESSAGE_SHOWN = "message message-spaces message-both-ways"

SHORTCUTS = [
    Mutant(
        "happy-case",
        "`[feeling Happy]`",
        "_FACES",
        '"[feeling happy]"',
        '"[feeling Happy]"',
        "happy",
        "within-a-line joined-by-tcp",
    ),
    Mutant(
        "happy-alone",
        "the sender's name is missing before a feeling",
        "Dispatcher.say",
        'f"{username}: {text}"',
        'text if "[feeling" in text else f"{username}: {text}"',
        "happy",
        "sad joined-by-tcp within-a-line",
    ),
    Mutant(
        "sad-missing",
        "`:(` is not translated",
        "_FACES",
        _FACES,
        '{":)": "[feeling happy]"}',
        "sad",
    ),
    Mutant(
        "feelings-swapped",
        "happy is sad, and sad is happy",
        "_FACES",
        _FACES,
        '{":(": "[feeling happy]", ":)": "[feeling sad]"}',
        "sad",
        "happy within-a-line joined-by-tcp",
    ),
    Mutant(
        "raw-on-server",
        "the server shows the shortcut as it was typed",
        "Dispatcher.say",
        _TOLD,
        'raw = encode_line(f"{username}: {command.text}")\n'
        "return Event(Kind.SAID, username, raw, line, tells_time)",
        "happy",
        "sad time later later-at-midnight escape escape-command joined-by-tcp",
    ),
    Mutant(
        "translated-for-the-server",
        "the others see the shortcut as it was typed",
        "Dispatcher.say",
        _TOLD,
        'raw = encode_line(f"{username}: {command.text}")\n'
        "return Event(Kind.SAID, username, line, raw, tells_time)",
        "happy",
        f"sad {_ALL_TIMES} escape escape-command joined-by-tcp",
    ),
    Mutant(
        "feelings-to-sender",
        "who is happy is shown it, too",
        "Dispatcher.say",
        _TOLD,
        "Event(Kind.SAID, username, line, line, True)",
        "feelings-not-to-sender",
    ),
    Mutant(
        "time-iso",
        "times are told as 2025-09-24 12:31:44",
        "format_time",
        _CLOCK,
        'f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"',
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-without-weekday",
        "the weekday is missing",
        "format_time",
        _DATE,
        _DATE.replace("{_WEEKDAYS[weekday]} ", ""),
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-twelve-hours",
        "%I for %H: two in the afternoon is told as 02",
        "format_time",
        _CLOCK,
        _CLOCK.replace("hour", "(hour - 1) % 12 + 1"),
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-universal",
        "universal time instead of the local one",
        "_local_time",
        "time.localtime",
        "time.gmtime",
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-of-the-start",
        "the time is asked for once, when the server starts",
        "Server._make_room",
        "_local_time",
        "lambda seconds, now=time.time() - 1: time.localtime(now + seconds)",
        "time",
        _ALL_TIMES,
    ),
    Mutant(
        "time-not-to-sender",
        "times are told to all others, as feelings are",
        "Dispatcher.say",
        _TOLD,
        "Event(Kind.SAID, username, line, line)",
        "time-to-sender",
    ),
    Mutant(
        "time-to-sender-alone",
        "times are told to the sender alone",
        "Dispatcher.say",
        _TOLD,
        "if tells_time:\n"
        "    return Event(Kind.SAID, username, line, private=((username, line),))\n"
        "return Event(Kind.SAID, username, line, line)",
        "time",
        "later later-at-midnight",
    ),
    Mutant(
        "later-missing",
        "`:+1hr` is not known",
        "_TIMES",
        '{":mytime": 0, ":+1hr": 3600}',
        '{":mytime": 0}',
        "later",
        "later-at-midnight time-to-sender",
    ),
    Mutant(
        "later-a-minute",
        "`:+1hr` adds a minute",
        "_TIMES",
        "3600",
        "60",
        "later",
        "later-at-midnight time-to-sender",
    ),
    Mutant(
        "later-same-day",
        "`:+1hr` adds 1 to the hour, and leaves the day",
        "_local_time",
        "time.localtime(time.time() + seconds)",
        "(now := time.localtime())[:3] + ((now[3] + seconds // 3600) % 24,) + now[4:7]",
        "later-at-midnight",
    ),
    Mutant(
        "later-24",
        "`:+1hr` adds 1 to the hour, which may become 24",
        "_local_time",
        "time.localtime(time.time() + seconds)",
        "(now := time.localtime())[:3] + (now[3] + seconds // 3600,) + now[4:7]",
        "later-at-midnight",
    ),
    Mutant(
        "users-without-space",
        "names are joined by a comma alone",
        "Roster.users_line",
        _USERS_LINE,
        _USERS_LINE.replace("', '", "','"),
        "users",
        "exit-and-after",
    ),
    Mutant(
        "users-case",
        "`Active users`",
        "Roster.users_line",
        _USERS_LINE,
        _USERS_LINE.replace("Users", "users"),
        "users",
        "kept-out exit-and-after",
    ),
    Mutant(
        "users-without-asker",
        "who asks is not on the list",
        "Dispatcher.list_users",
        "self._roster.users_line",
        "encode_line('Active Users: ' + "
        "', '.join(name for name in self._roster.usernames if name != username))",
        "users",
        "kept-out exit-and-after",
    ),
    Mutant(
        "users-sorted",
        "names in the order of the alphabet",
        "Roster.users_line",
        "self._members.values()",
        "sorted(self._members.values())",
        "users",
        flags=("--strict",),
    ),
    Mutant(
        "users-not-on-server",
        "the server does not show who asked",
        "Dispatcher.list_users",
        _LISTED,
        "_notice(username, self._roster.users_line)",
        "users-on-server",
    ),
    Mutant(
        "users-to-all",
        "the list goes to everybody",
        "Dispatcher.list_users",
        _LISTED,
        "Event(Kind.NOTICE, username, console, self._roster.users_line, to_origin=True)",
        "users-not-to-others",
    ),
    Mutant(
        "message-first-word",
        "only the first word of a private message arrives",
        "_name_and_text",
        "Command(verb, text, to)",
        "Command(verb, text.split()[0], to)",
        "message",
        "message-spaces message-both-ways",
    ),
    Mutant(
        "message-without-sender",
        "who sends a private message is not shown",
        "Dispatcher.message",
        'f"[Message from {username}]: {text}"',
        'f"[Message]: {text}"',
        "message",
        _MESSAGE_SHOWN,
    ),
    Mutant(
        "message-text-on-server",
        "the server shows the private message itself",
        "Dispatcher.message",
        _MESSAGE_NOTED,
        'f"{username}: send message to {to}: {text}"',
        "message-on-server",
    ),
    Mutant(
        "message-sent-on-server",
        "`sent` for `send`, as English would have it",
        "Dispatcher.message",
        _MESSAGE_NOTED,
        'f"{username}: sent message to {to}"',
        "message-on-server",
    ),
    Mutant(
        "message-to-all",
        "a private message is shown to all others",
        "Dispatcher.message",
        _PRIVATE,
        "Event(Kind.PRIVATE, username, console, line)",
        "message-private",
    ),
    Mutant(
        "message-to-sender-too",
        "a private message is shown to who sends it",
        "Dispatcher.message",
        _PRIVATE,
        "Event(Kind.PRIVATE, username, console, private=((to, line), (username, line)))",
        "message-private",
    ),
    Mutant(
        "exit-stays",
        "a client that has left does not end",
        "Client.connection_lost",
        "self._reactor.stop()",
        "self._deadline = 1e9\nself._screen.resume_typing()",
        "exit-ends",
        "end-of-input interrupt",
    ),
    Mutant(
        "exit-empty-line",
        "a client prints an empty line when it ends",
        "Client._leave",
        "self._phase = LEAVING",
        '...\nself._screen._stdout.write(b"\\n")',
        "exit-ends",
    ),
    Mutant(
        "exit-traceback",
        "a client uses its socket after it has closed it",
        "Client.run",
        "self._signals.close()",
        "...\nself._connection._transport._socket.getpeername()",
        "exit-ends",
        "end-of-input interrupt interrupt-server",
    ),
    Mutant(
        "exit-status",
        "a client ends with status 1 after `:Exit`",
        "Client.typed",
        "self._leave(0)",
        "self._leave(1)",
        "exit-ends",
        flags=("--strict",),
    ),
    Mutant(
        "exit-ends-the-server",
        "the server ends with the first who leaves",
        "Member._take_line",
        'self._host.note_end(":Exit")',
        "raise SystemExit",
        "exit-ends",
        "exit-announced exit-and-after",
    ),
    Mutant(
        "left-twice",
        "a departure is announced at `:Exit` and at the end of the connection",
        "Dispatcher.exit",
        "self.leave(username)",
        "(left := self.leave(username))._replace(console=left.console * 2, room=left.room * 2)",
        "exit-announced",
    ),
    Mutant(
        "left-not-on-server",
        "the server does not show who has left",
        "Dispatcher.leave",
        _LEAVES,
        'Event(Kind.LEFT, username, b"", left)',
        "exit-announced",
        LEFT,
    ),
    Mutant(
        "left-not-to-others",
        "the others are not told who has left",
        "Dispatcher.leave",
        _LEAVES,
        'Event(Kind.LEFT, username, left, b"")',
        "exit-announced",
        LEFT,
    ),
    Mutant(
        "still-on-the-list",
        "who has left is still on the list",
        "Roster.apply",
        "self._members.pop(_fold(event.origin), None)",
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
