"""The page in a headless Chromium, in one room with a terminal and with `nc`."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.browser import MISSING, Browser, Tab, browser, find_browser
from tests.support.programs import PASSCODE
from tests.support.size import IS_LONG
from tests.web.test_http import WebRoom

pytestmark = [
    pytest.mark.skipif(not find_browser(), reason=f"NOT TESTED: {MISSING}"),
    pytest.mark.timeout(120),
]

LINES = "[...document.querySelectorAll('#log .line')].map(node => node.textContent)"
FLOOD_SECONDS = 10 if IS_LONG else 2
LINES_PER_SECOND = 200


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser("--window-size=1200,800") as started:
        yield started


@pytest.fixture
def room() -> Iterator[WebRoom]:
    with WebRoom("-web", "0", "-history", "50") as room:
        yield room
        room.server.terminate()


@pytest.fixture
def alice(room: WebRoom, chromium: Browser) -> Iterator[Tab]:
    """A page that is in the room, and has left it when the test ends."""
    tab = chromium.open_tab()
    tab.join(url(room), "Alice", PASSCODE)
    room.server.shows("Alice joined the chatroom")
    yield tab
    tab.run("wantsOut = true; isIn ? socket.send(':Exit\\n') : goOut('')")
    tab.wait_for("!document.getElementById('door').hidden")
    chromium.call("DELETE", "/window", None)
    chromium.call("POST", "/window", {"handle": chromium.call("GET", "/window/handles", None)[0]})


def url(room: WebRoom) -> str:
    return f"http://localhost:{room.web}/"


def has_line(tab: Tab, text: str) -> None:
    tab.wait_for(f"{LINES}.includes(arguments[0])", text)


def test_page_talks_with_a_terminal_and_with_nc(room: WebRoom, alice: Tab) -> None:
    terminal = room.join("Bob")[0]
    netcat = room.start_nc("nc")
    netcat.types(f"JOIN Carol {PASSCODE}")
    netcat.shows("OK")
    netcat.name = "Carol"
    room.welcomes(netcat)
    alice.say("good morning :)")
    room.all_show("Alice: good morning [feeling happy]")
    has_line(alice, "good morning [feeling happy]")
    terminal.types("from a terminal", ":Msg alice a secret")
    netcat.types("from nc")
    for line in ("from a terminal", "a secret", "from nc"):
        has_line(alice, line)
    assert alice.run("return $('bell').getAttribute('aria-pressed')") == "false"
    assert alice.run("return members") == ["Alice", "Bob", "Carol"]
    alice.say(":Msg bob and another")
    alice.wait_for("document.querySelector('.me.private')")
    alice.say(":usrs")  # which is asked about, and not said
    alice.wait_for("!document.getElementById('ask').hidden")
    assert alice.run("return pending") == []
    alice.run("document.getElementById('ask-no').click()")
    alice.run("document.getElementById('text').value = ''")
    terminal.shows("Carol: from nc", "[Message from Alice]: and another")
    terminal.end_input()
    terminal.exits(0)
    alice.wait_for("members.length === 2")
    netcat.has_ended = True  # with the room


MARKUP = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked=1'>",
    "<svg/onload=window.hacked=1>",
    "javascript:window.hacked=1",
    'http://x/"onmouseover="window.hacked=1',
    "</title><script>hacked=1</script>",
    "{{constructor.constructor('hacked=1')()}}",
    "&lt;b&gt; &#x3c;script&#x3e;",
)


def test_markup_is_text_live_in_history_and_in_links(
    room: WebRoom, chromium: Browser, alice: Tab
) -> None:
    mallory = room.enter("Mallory")
    mallory.types(*MARKUP, *(f":Msg Alice {text}" for text in MARKUP))
    alice.wait_for(f"{LINES}.length === {2 * len(MARKUP)}")
    shown = alice.run(f"return {LINES}")
    assert shown == [*MARKUP, *MARKUP]
    late = chromium.open_tab()
    late.join(url(room), "Late", PASSCODE)
    late.wait_for(f"{LINES}.length === {len(MARKUP)}")
    for tab in (alice, late):
        assert tab.run("return window.hacked || 0") == 0
        assert (
            tab.run("return document.querySelectorAll('#log script, #log img, #log svg').length")
            == 0
        )
        for link in tab.run(
            "return [...document.querySelectorAll('#log a')].map(a => [a.href, a.rel])"
        ):
            assert link[0].startswith("http://x/")
            assert "noopener" in link[1]


def saved(tab: Tab) -> object:
    """What a copy of the tab would begin with."""
    return tab.run("save(); return sessionStorage.getItem('chat')")


def test_reload_goes_on_and_a_copy_of_the_tab_does_not(
    room: WebRoom, chromium: Browser, alice: Tab
) -> None:
    bob = room.enter("Bob")
    bob.types("before")
    has_line(alice, "before")
    alice.run("location.reload()")
    alice.wait_for("isIn && members.length === 2")
    bob.types("behind")
    has_line(alice, "behind")
    assert alice.run(f"return {LINES}") == ["before", "behind"]
    copy = chromium.open_tab()
    copy.open(url(room))
    copy.run("sessionStorage.setItem('chat', arguments[0])", saved(alice))
    copy.run("location.reload()")
    copy.wait_for("document.readyState === 'complete' && !sessionStorage.length")
    assert copy.run("return document.getElementById('room').hidden")
    bob.types("still")
    has_line(alice, "still")
    room.server.shows("Bob joined the chatroom", "Bob: before", "Bob: behind")


class Wire(threading.Thread):
    """Passes connections on to a port, until they are cut."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._to = ("127.0.0.1", port)
        self._others: dict[socket.socket, socket.socket] = {}
        self._is_over = False

    def run(self) -> None:
        while not self._is_over:
            ready, _, _ = select.select([self._door, *self._others], [], [], 0.05)
            for sock in ready:
                self._accept() if sock is self._door else self._pass_on(sock)

    def cut(self) -> None:
        """End all that there are, without a word at either end."""
        for sock in list(self._others):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._is_over = True
        self.join()
        for sock in (self._door, *self._others):
            sock.close()

    def _accept(self) -> None:
        near, far = self._door.accept()[0], socket.create_connection(self._to)
        self._others |= {near: far, far: near}

    def _pass_on(self, sock: socket.socket) -> None:
        other = self._others.get(sock)
        if other is None:
            return
        try:
            data = sock.recv(1 << 16)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (sock, other):
                del self._others[end]
                end.close()


def test_cut_connection_loses_and_doubles_nothing(room: WebRoom, chromium: Browser) -> None:
    bob = room.join_raw("Bob")
    wire = Wire(room.web)
    wire.start()
    tab = chromium.open_tab()
    tab.join(f"http://localhost:{wire.port}/", "Alice", PASSCODE)
    room.all_show("Alice joined the chatroom")
    for number in range(20 if IS_LONG else 4):
        wire.cut()
        bob.types(f"said {number}", f":Msg Alice private {number}")
        tab.run("say(arguments[0])", f"mine {number}")
        has_line(tab, f"mine {number}")
        has_line(tab, f"private {number}")
    texts = tab.run(f"return {LINES}")
    for number in range(20 if IS_LONG else 4):
        for text in (f"said {number}", f"private {number}", f"mine {number}"):
            assert texts.count(text) == 1, text
    tab.say(":Exit")
    tab.wait_for("!document.getElementById('door').hidden")
    bob.types("end")
    heard = ""
    while heard != "Alice left the chatroom":
        heard = bob.stdout.take_line()
        assert not heard.startswith("Alice joined"), "an absence is no departure"
    wire.close()


def test_flood_leaves_nothing_out_and_the_page_answers(room: WebRoom, alice: Tab) -> None:
    bob = room.enter("Bob")
    count = FLOOD_SECONDS * LINES_PER_SECOND
    for second in range(FLOOD_SECONDS):
        first = second * LINES_PER_SECOND
        bob.types(*(f"line {number}" for number in range(first, first + LINES_PER_SECOND)))
        alice.say(f"still here {second}")
        has_line(alice, f"still here {second}")
    has_line(alice, f"line {count - 1}")
    texts = [text for text in alice.run(f"return {LINES}") if text.startswith("line ")]
    assert texts == [f"line {number}" for number in range(count)]


FLOOD = """
for (let i = 0; i < 12000; i++) take(i % 300 ? `Bob: ${i}\\n` : `Eve joined the chatroom\\n`);
me.received = 0;
"""

FROM_END = "($('scroll').scrollHeight - $('scroll').scrollTop - $('scroll').clientHeight)"


def test_page_keeps_ten_thousand_lines_and_its_place(room: WebRoom, alice: Tab) -> None:
    bob = room.enter("Bob")
    alice.run(FLOOD)
    bob.types("behind it")
    alice.wait_for(f"{LINES}.at(-1) === 'behind it' && {FROM_END} < 2")
    shown = alice.run("return document.querySelectorAll('#log .line, #log .note').length")
    assert 9_800 <= shown <= 10_000
    alice.run("$('scroll').scrollBy(0, -500)")
    alice.wait_for("!isAtEnd")
    bob.types("not seen yet")
    alice.wait_for("!$('down').hidden")
    assert alice.run(f"return {FROM_END}") > 400
    alice.run("$('down').click()")
    alice.wait_for(f"{FROM_END} < 2 && isAtEnd")


BACK = {
    "pageshow": "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))",
    "visibilitychange": "tickAt = 0; dispatchEvent(new Event('visibilitychange'))",
    "online": "dispatchEvent(new Event('online'))",
}


def test_page_that_was_asleep_goes_on_where_it_was(room: WebRoom, alice: Tab) -> None:
    bob = room.enter("Bob")
    for event, dispatch in BACK.items():
        alice.run("socket.onclose = null; socket.close()")  # and no word of it
        bob.types(event)
        alice.run(dispatch)
        has_line(alice, event)
    assert alice.run(f"return {LINES}") == [*BACK]


def test_server_that_starts_anew_is_joined_anew(chromium: Browser) -> None:
    with WebRoom("-web", "0") as room:
        tab = chromium.open_tab()
        tab.join(url(room), "Alice", PASSCODE)
        port, web = room.port, room.web
        room.server.terminate()
    tab.wait_for("document.getElementById('room').dataset.state === 'away'")
    with WebRoom("-web", str(web), port=port) as room:
        tab.run("tries = 0; connect()")
        tab.wait_for("isIn && isBegun && members.length === 1")
        tab.say(":Exit")
        tab.wait_for("!document.getElementById('door').hidden")
        room.server.terminate()


def test_refusal_is_shown_where_it_can_be_mended(room: WebRoom, chromium: Browser) -> None:
    tab = chromium.open_tab()
    tab.open(url(room))
    for name, passcode, reason in (
        ("Alice", "wrong", "Incorrect passcode"),
        ("Al ice", PASSCODE, "A name is 1 to 8 of A-Z a-z 0-9 _ - ."),
    ):
        tab.run(
            "document.getElementById('name').value = arguments[0];"
            "document.getElementById('passcode').value = arguments[1];"
            "document.getElementById('join').requestSubmit()",
            *(name, passcode),
        )
        tab.wait_for("document.getElementById('refusal').textContent === arguments[0]", reason)
        assert not tab.run("return sessionStorage.length")


@pytest.mark.skipif(not find_spec("axe_core_python"), reason="NOT TESTED: needs axe-core-python")
def test_page_is_accessible_in_light_and_dark(room: WebRoom, chromium: Browser, alice: Tab) -> None:
    bob = room.enter("Bob")
    bob.types("hello alice", "see http://example.org/", ":Msg Alice psst")
    alice.say("hi :)")
    alice.say(":Help")
    has_line(alice, "psst")
    spec = find_spec("axe_core_python")
    assert spec
    assert spec.origin
    axe = Path(spec.origin).with_name("axe.min.js").read_text()
    door = chromium.open_tab()
    door.open(url(room))
    for tab in (alice, door):
        tab.run("return 0")
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            chromium.devtools("Emulation.setEmulatedMedia", features=features)
            chromium.devtools("Runtime.evaluate", expression=axe)
            tab.run("window.found = null; axe.run().then(result => { window.found = result; })")
            tab.wait_for("window.found")
            found = tab.run(
                "return found.violations.map(each => "
                "[each.id, each.nodes.map(node => node.html + node.failureSummary)])"
            )
            assert found == [], scheme
