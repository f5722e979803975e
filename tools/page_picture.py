"""Draws one room as a browser and a terminal show it: `python -m tools.page_picture docs/page.png`.

From a run of the real programs, in a headless Chromium (tests.support.browser).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.support.browser import browser
from tests.support.programs import PASSCODE
from tests.support.window import LineWindow
from tests.web.test_http import WebRoom
from tools.window_picture import draw_screen

WIDTH, HEIGHT = 1480, 560
PAGE = "width:760px;height:520px;border-radius:10px;box-shadow:0 6px 24px #0003"
TERMINAL = "width:660px;border-radius:10px;box-shadow:0 6px 24px #0003"
FRAME = (
    '<body style="margin:20px;display:flex;gap:20px;align-items:center;background:#e9e8f0">'
    f'<img style="{PAGE}" src="page.png"><img style="{TERMINAL}" src="room.svg">'
)

SCRIPT = (
    ("Bob", "is the reactor assignment due on Friday?"),
    ("Alice", "yes, 23:59 :)"),
    ("Bob", "my loop drops the last line when the peer closes"),
    ("Alice", "EOF is a readable event, too: https://docs.python.org/3/library/selectors.html"),
    ("Bob", "that was it, thanks"),
    ("Bob", ":Msg Alice do you have the solution to number 3?"),
    ("Noor", "מישהו כאן כבר התחיל?"),
    ("Noor", "🎉"),
)
"""Who says what: Bob in the terminal, Alice in the browser, Noor from a plain socket."""


def draw(picture: Path) -> None:
    """Play it, and write the picture."""
    with WebRoom("-web", "0") as room, browser(f"--window-size={WIDTH},{HEIGHT}") as chromium:
        command = [sys.executable, "client.py", "-join", "-host=127.0.0.1", f"-port={room.port}"]
        command += ["-username=Bob", f"-passcode={PASSCODE}", "-ui=line"]
        window = room.run(LineWindow, "Bob", command, size=(26, 80))
        window.sees(typed="Bob·1❯")
        tab = chromium.open_tab()
        metrics = {"width": 760, "height": 520, "deviceScaleFactor": 2, "mobile": False}
        tab.run("return 0")
        chromium.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        tab.join(f"http://localhost:{room.web}/", "Alice", PASSCODE)
        noor = room.enter("Noor")
        for who, text in SCRIPT:
            rows = len(window.said())
            if who == "Alice":
                tab.say(text)
            elif who == "Bob":
                window.keys(text + "\r")
            else:
                noor.types(text)
            window.waits_for(lambda rows=rows: len(window.said()) > rows)  # type: ignore[misc]
        tab.wait_for("document.querySelector('.big')")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "page.png").write_bytes(tab.picture())
            svg = draw_screen("python3 client.py -ui line", window.screen)
            Path(folder, "room.svg").write_text(re.sub(str(room.port), "65432", svg))
            Path(folder, "both.html").write_text(FRAME)
            metrics |= {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1}
            tab.say(":Exit")
            tab.open(f"file://{folder}/both.html")
            chromium.devtools("Emulation.setDeviceMetricsOverride", **metrics)
            picture.write_bytes(tab.picture())
        window.keys("\x15\x04")
        window.closes(0)
        room.server.terminate()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
