"""The examples of the assignment, in their order as one session."""

from __future__ import annotations

import re

import pytest

from tests.support.programs import Room, free_port

TIME = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d\d "
TIME += r"\d\d:\d\d:\d\d \d{4}"


@pytest.mark.usefixtures("in_earnest")
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
        (one,) = room.join("user1", on_terminal=on_terminal)

        # Multiple clients.
        two, three = room.join("user2", "user3", on_terminal=on_terminal)

        # Chat functionality.
        one.types("Hello Room")
        room.all_show("user1: Hello Room", but=one)

        # Chat shortcuts.
        two.types(":)")
        room.all_show("user2: [feeling happy]", but=two)
        two.types(":(")
        room.all_show("user2: [feeling sad]", but=two)
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
        room.all_show("user1: :mytime", but=one)

        # Leaving.
        three.types(":Exit")
        three.exits(0)
        room.misses(three)
        room.nothing_else()
