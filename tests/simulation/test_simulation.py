"""Seeds by the dozen; and that the simulation itself is fit to judge."""

from __future__ import annotations

import random
import re

import pytest

from chat.session import Member
from reactor.fanout import Cursor
from reactor.log import Log
from tests.simulation import planted
from tests.simulation.__main__ import describe_shrunk
from tests.simulation.network import Faults
from tests.simulation.script import Script, Setting, Step, make_script, make_script_cut_short
from tests.simulation.shrink import failure_of, kind_of, shrink
from tests.simulation.world import run
from tests.support.faults import fault
from tests.support.patches import Patch

BLOCK = 10


@pytest.mark.parametrize("first", planted.SEEDS[::BLOCK])
def test_seeds(first: int) -> None:
    for seed in range(first, first + BLOCK):
        script = make_script(seed)
        if failure := failure_of(script):
            pytest.fail(
                f"seed {seed}: {failure}\n{describe_shrunk(script)}\n"
                f"python -m tests.simulation --seed {seed}",
                pytrace=False,
            )


@pytest.mark.parametrize("seed", range(20))
def test_any_part_of_a_script_is_a_script(seed: int) -> None:
    script = make_script(seed)
    chance = random.Random(seed)
    steps = [step for step in script.steps if chance.random() < 0.5]
    run(script._replace(steps=steps))


@fault(58)
@pytest.mark.parametrize("seed", range(40))
def test_the_server_may_be_told_to_end_at_any_moment(seed: int) -> None:
    """A thousand: `python -m tests.simulation --shutdowns 0-999`."""
    run(make_script_cut_short(seed))


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_a_seed_is_the_same_each_time(seed: int) -> None:
    stories: list[list[str]] = [[], []]
    for story in stories:
        run(make_script(seed), story.append)
    assert stories[0] == stories[1]
    assert any(" joined " in line for line in stories[0])


def test_seeds_come_to_everything_they_are_for() -> None:
    """What happens in all of them together: whoever changes the chances, looks here."""
    story: list[str] = []
    for seed in range(40):
        run(make_script(seed), story.append)
    text = "\n".join(story)
    for happening in (
        *(r"turned_away .*'Incorrect passcode'", r"turned_away .*'Username already in use"),
        *(r"turned_away .*'Handshake timed out'", r"turned_away .*'Too many connections'"),
        *(r"turned_away .*'Too many attempts", r"turned_away .*'Expected: JOIN"),
        *(r"turned_away .*'Invalid username: it is empty'", r"turned_away .*username: longer than"),
        *(r"turned_away .*'Invalid username: only", r"turned_away .*'Server full'"),
        *(r"dropped .*'Server full'", r"dropped .*'Too many connections'", r"refused_at_the_door"),
        *(r"cut .* unsent, none taken for", r"cut .* unsent, behind for"),
        *(r"taken .*Message too long", r"taken .*No such user", r"taken .*Usage: "),
        *(r"typed .* None", r"typed .* b':Exit'", r"left 'U", r"failed ", r"ended "),
        *(r"closed .* True (True|False)", r"closed .* False", r"shutdown"),
    ):
        assert re.search(happening, text), happening


# A server that is broken is found out.


def talk(*steps: Step) -> Script:
    """Three members who are there, and then these steps."""
    joins = [
        step
        for who in range(3)
        for step in (Step("connect", who), Step("send", who, data=b"JOIN U%d abc12\n" % who))
    ]
    return Script(Setting(people=3, scale="tiny"), [*joins, Step("rest"), *steps, Step("rest")])


FLOOD = Step("flood", 1, 99, b"z" * 60 + b"\n")


def test_a_sound_server_passes() -> None:
    run(talk(Step("send", 1, data=b"hello\n"), Step("appetite", 2, 0), FLOOD, Step("reset", 0)))


def test_a_lost_line_is_found_and_the_script_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cursor, "append", lambda self, data: None)
    script = talk(*[Step("send", 0, data=b"hello\n"), Step("send", 1, data=b":Users\n")] * 5)
    assert failure_of(script)
    kind = kind_of(script)
    shrunk = shrink(script, lambda smaller: kind_of(smaller) == kind)
    assert len(shrunk.steps) <= 4
    assert kind_of(shrunk) == kind
    assert "FAILED at step" in describe_shrunk(script)


def test_pages_that_are_never_dropped_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "drop_before", lambda self, position: None)
    failure = failure_of(talk(FLOOD, Step("pass", number=1000)))
    assert failure
    assert "the log keeps" in failure.fault


def test_one_who_leaves_in_silence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Member, "_leave", lambda self, why="": None)
    failure = failure_of(talk(Step("reset", 1)))
    assert failure
    assert "still a member" in failure.fault


def test_an_exception_in_the_server_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Cursor, "skip")
    failure = failure_of(talk(Step("send", 1, data=b"hello\n")))
    assert failure
    assert "AttributeError" in failure.fault


def test_faults_alone_are_no_failure() -> None:
    script = talk(Step("send", 1, data=b"hello\n"), FLOOD, Step("pass", number=3000))
    faults = Faults(short=0.9, again=0.5, spurious=0.3, interrupted=0.3)
    run(script._replace(setting=script.setting._replace(faults=faults)))


# Bugs planted by hand (planted.py takes too long to run here).


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_fits_the_product(bug: Patch) -> None:
    path, text = bug.apply(planted.ROOT)
    compile(text, path, "exec")
