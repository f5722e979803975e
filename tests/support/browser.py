"""A headless Chromium, driven by chromedriver over its HTTP (W3C WebDriver), without a package.

In: scripts and addresses. Out: what they return. The two programs come from Debian (`apt install
chromium chromium-driver`); where they are absent `find_browser` says so.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.programs import DEADLINE_SECONDS

MISSING = "chromium and chromedriver are not here (apt install chromium chromium-driver)"


def find_browser() -> tuple[str, str] | None:
    """The paths of browser and driver, or None."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Tab:
    """One tab of a browser. `run` is given the body of a function, and returns what that does."""

    def __init__(self, driven: Browser, handle: str) -> None:
        self._browser = driven
        self._handle = handle

    def run(self, body: str, *arguments: object) -> Any:
        self._browser.call("POST", "/window", {"handle": self._handle})
        script = {"script": body, "args": list(arguments)}
        return self._browser.call("POST", "/execute/sync", script)

    def wait_for(self, condition: str, *arguments: object) -> Any:
        """What the expression `condition` is, once it is something."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (result := self.run(f"return {condition}", *arguments)):
            if time.monotonic() > deadline:
                text = self.run("return document.body.innerText")
                raise AssertionError(f"not so: {condition}; the page shows {text!r}")
            time.sleep(0.02)  # the browser is another process: there is nothing to wait on
        return result

    def open(self, url: str) -> None:
        self._browser.call("POST", "/window", {"handle": self._handle})
        self._browser.call("POST", "/url", {"url": url})

    def join(self, url: str, name: str, passcode: str) -> None:
        """Fill in the form, and be in the room."""
        self.open(url)
        self.run(_JOIN, name, passcode)
        self.wait_for("!document.getElementById('room').hidden && isBegun")

    def say(self, text: str) -> None:
        """Type it, and press Enter."""
        self.run(_SAY, text)

    def picture(self) -> bytes:
        """What it shows, as PNG."""
        self._browser.call("POST", "/window", {"handle": self._handle})
        return base64.b64decode(self._browser.call("GET", "/screenshot", None))


_JOIN = """
document.getElementById('name').value = arguments[0];
document.getElementById('passcode').value = arguments[1];
document.getElementById('join').requestSubmit();
"""

_SAY = """
const text = document.getElementById('text');
text.value = arguments[0];
text.dispatchEvent(new Event('input'));
text.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', cancelable: true}));
"""


class Browser:
    """A browser with tabs, which all are of one profile."""

    def __init__(self, port: int, chromium: str, profile: str, *options: str) -> None:
        self._port = port
        self._session = ""
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += ["--no-proxy-server", f"--user-data-dir={profile}", *options]
        chrome = {"binary": chromium, "args": arguments}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": chrome,
            "acceptInsecureCerts": True,
        }
        answer = self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/{answer['sessionId']}"

    def call(self, method: str, path: str, body: object) -> Any:
        """One command of WebDriver. Raises AssertionError with what went wrong."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/session{self._session}{path}", data)
            value = json.loads(connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{method} {path}: {value['message']}")
        return value

    def open_tab(self) -> Tab:
        return Tab(self, self.call("POST", "/window/new", {"type": "tab"})["handle"])

    def resize(self, width: int, height: int) -> None:
        self.call("POST", "/window/rect", {"width": width, "height": height})

    def devtools(self, command: str, **parameters: object) -> Any:
        """One command of the DevTools protocol, to the tab that was used last."""
        body = {"cmd": command, "params": parameters}
        return self.call("POST", "/goog/cdp/execute", body)


@contextlib.contextmanager
def browser(*options: str) -> Iterator[Browser]:
    """A browser that is gone at the end."""
    found = find_browser()
    assert found, MISSING
    chromium, driver = found
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
        try:
            port = _port_of(process)
            started = Browser(port, chromium, str(Path(profile, "profile")), *options)
            try:
                yield started
            finally:
                started.call("DELETE", "", None)
        finally:
            process.terminate()
            process.wait()
            assert process.stdout
            process.stdout.close()


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    for line in process.stdout:
        if "successfully on port" in line:
            return int(line.rpartition(" ")[2].rstrip(".\n"))
    raise AssertionError("chromedriver has not started")
