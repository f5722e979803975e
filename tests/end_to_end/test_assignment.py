"""The examples of the assignment, in their order as one session."""

from __future__ import annotations

import re

import pytest

from tests.support.programs import Room, free_port

TIME = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d\d "
TIME += r"\d\d:\d\d:\d\d \d{4}"


@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipes", "terminals"])
def test_assignment(on_terminal: bool) -> None:
    port = free_port()
    with Room(port=port, passcode="abcde", on_terminal=on_terminal) as room:
        server = room.server

        # Connection establishment and password checking, a single client.
        server.shows(f"Server started on port {port}. Accepting connections")
        wrong = room.start_client(port, "user1", passcode="abcdf", on_terminal=on_terminal)
        wrong.shows("Incorrect passcode")
        wrong.exits(1)
        one = room.start_member("user1", on_terminal=on_terminal)
        server.shows("user1 joined the chatroom")
        one.shows(f"Connected to 127.0.0.1 on port {port}")

        # Multiple clients.
        two = room.start_member("user2", on_terminal=on_terminal)
        server.shows("user2 joined the chatroom")
        two.shows(f"Connected to 127.0.0.1 on port {port}")
        one.shows("user2 joined the chatroom")
        three = room.start_member("user3", on_terminal=on_terminal)
        three.shows(f"Connected to 127.0.0.1 on port {port}")
        for reader in (server, one, two):
            reader.shows("user3 joined the chatroom")

        # Chat functionality.
        one.types("Hello Room")
        for reader in (server, two, three):
            reader.shows("user1: Hello Room")

        # Chat shortcuts.
        two.types(":)")
        for reader in (server, one, three):
            reader.shows("user2: [feeling happy]")
        two.types(":(")
        for reader in (server, one, three):
            reader.shows("user2: [feeling sad]")
        for shortcut in (":mytime", ":+1hr"):
            three.types(shortcut)
            line = server.stdout.take_line()
            assert re.fullmatch(f"user3: {TIME}", line)
            for reader in (one, two, three):
                reader.shows(line)

        # Additional commands.
        one.types(":Users")
        one.shows("Active Users: user1, user2, user3")
        server.shows("user1: searched up active users")
        one.types(":Msg user2 CS3251 is awesome")
        two.shows("[Message from user1]: CS3251 is awesome")
        server.shows("user1: send message to user2")

        # Fun and not graded.
        one.types(r"\:mytime")
        for reader in (server, two, three):
            reader.shows("user1: :mytime")

        # Leaving.
        three.types(":Exit")
        three.exits(0)
        for reader in (server, one, two):
            reader.shows("user3 left the chatroom")
        room.members += [one, two]
        room.nothing_else()
