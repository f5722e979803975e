"""Whether the page lags: `python -m bench.page`, in a headless Chromium (tests.support.browser).

Out: how long its frames and tasks are while 10,000 lines arrive, a hundred every tenth of a second
and then all at once; and how long a key takes to show, with few lines in the page and with 10,000.
Keys are Chromium's own (Input.dispatchKeyEvent), from the event's time to the frame after it.
"""

from __future__ import annotations

import statistics
import time

from tests.support.browser import Browser, Tab, browser
from tests.support.programs import PASSCODE
from tests.web.test_http import WebRoom

LINES, BURST = 10_000, 100
KEYS = 60

WATCH = """
const seen = window.seen = {frames: [], tasks: [], keys: [], begin: performance.now()};
if (!window.isWatched) {
  window.isWatched = true;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.seen.tasks.push(task.duration);
  }).observe({type: 'longtask'});
  let before = performance.now();
  const frame = (now) => {
    window.seen.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  const channel = new MessageChannel();
  let pressed = 0;
  channel.port1.onmessage = () => window.seen.keys.push(performance.now() - pressed);
  document.addEventListener('keydown', (event) => {
    pressed = event.timeStamp;
    requestAnimationFrame(() => channel.port2.postMessage(0)); // runs when the frame is drawn
  });
}
"""
"""Begin to count anew."""


def measure(tab: Tab, chromium: Browser, room: WebRoom) -> None:
    """Print a line for each work."""
    bob = room.enter("Bob")
    text = "x" * 40

    def say(first: int, count: int) -> None:
        bob.types(*(f"{text} {number}" for number in range(first, first + count)))

    def wait_for_line(number: int) -> None:
        tab.wait_for("last?.group.lastChild.textContent === arguments[0]", f"{text} {number}")

    print_keys(tab, chromium, "few")
    chromium.devtools("Performance.enable", timeDomain="threadTicks")
    begin = cpu_seconds(chromium)
    tab.run(WATCH)
    for first in range(0, LINES, BURST):
        say(first, BURST)
        time.sleep(0.1)
    wait_for_line(LINES - 1)
    print_frames(tab, f"{LINES:,} lines, {BURST} every 0.1 s", cpu_seconds(chromium) - begin)
    print_keys(tab, chromium, f"{LINES:,}")
    begin = cpu_seconds(chromium)
    tab.run(WATCH)
    say(LINES, LINES)
    wait_for_line(2 * LINES - 1)
    print_frames(tab, f"{LINES:,} lines at once", cpu_seconds(chromium) - begin)
    print_keys(tab, chromium, f"{LINES:,}")


def cpu_seconds(chromium: Browser) -> float:
    """Of the page's main thread."""
    metrics = chromium.devtools("Performance.getMetrics")["metrics"]
    return float(next(x["value"] for x in metrics if x["name"] == "TaskDuration"))


def print_frames(tab: Tab, work: str, cpu_seconds: float) -> None:
    seen = tab.run("return {...seen, seconds: (performance.now() - seen.begin) / 1000}")
    frames = sorted(seen["frames"][1:])
    at = [frames[int(len(frames) * part)] for part in (0.5, 0.99)]
    longest = max(seen["tasks"], default=0)
    print(
        f"{work}: {seen['seconds']:.1f} s, {cpu_seconds:.2f} s of CPU, {len(frames)} frames:"
        f" median {at[0]:.0f} ms, 99 % {at[1]:.0f} ms, longest {frames[-1]:.0f} ms;"
        f" {len(seen['tasks'])} tasks over 50 ms, the longest {longest:.0f} ms"
    )


def print_keys(tab: Tab, chromium: Browser, lines: str) -> None:
    tab.run(WATCH)
    tab.run("document.getElementById('text').focus()")
    for _ in range(KEYS):
        chromium.devtools("Input.dispatchKeyEvent", type="keyDown", text="a", key="a", code="KeyA")
        chromium.devtools("Input.dispatchKeyEvent", type="keyUp", key="a", code="KeyA")
    keys = tab.wait_for(f"seen.keys.length >= {KEYS} && seen.keys")
    typed = tab.run("const text = $('text'), typed = text.value; text.value = ''; return typed")
    assert typed == "a" * KEYS
    print(
        f"a key, {lines} lines in the page: median {statistics.median(keys):.1f} ms,"
        f" longest {max(keys):.1f} ms"
    )


def main() -> None:
    with WebRoom("-web", "0") as room, browser("--window-size=1200,800") as chromium:
        tab = chromium.open_tab()
        tab.join(f"http://localhost:{room.web}/", "Alice", PASSCODE)
        measure(tab, chromium, room)
        tab.say(":Exit")
        room.server.terminate()


if __name__ == "__main__":
    main()
