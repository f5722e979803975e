"""Seeds by the dozen; and that the simulation itself is fit to judge."""

from __future__ import annotations

import random
import re

import pytest

from chat.session import Member
from reactor.fanout import Cursor
from reactor.log import Log
from tests.simulation import planted, resume
from tests.simulation.__main__ import describe_shrunk
from tests.simulation.script import Script, Setting, Step, make_script, make_script_cut_short
from tests.simulation.shrink import failure_of, kind_of
from tests.simulation.world import Failure, run
from tests.support.faults import fault
from tests.support.patches import Entry
from tests.support.size import IS_LONG

QUICK = [4, 5, 17, 28, 29, 31, 36, 39, 44, 49, 60, 65, 67, 71, 80, 84, 85, 89, 97, 99, 107, 109]
QUICK += [114, 117]
"""Seeds that take 50 ms each, and come together, several times, to all that seeds are for."""

NAMED = planted.named_seeds(*(bug for bug in planted.BUGS if bug.group != planted.RESUME))

BLOCKS = [QUICK, sorted({*NAMED} - {*QUICK})]
BLOCKS += [[*planted.SEEDS[at : at + 20]] for at in planted.SEEDS[::20] if IS_LONG]

RESUMES = range(50 if IS_LONG else 3)
RESUMES_NAMED = planted.named_seeds(*(bug for bug in planted.BUGS if bug.group == planted.RESUME))


def play(seeds: list[int]) -> str:
    """All that happens in these seeds; none of them may fail."""
    story: list[str] = []
    for seed in seeds:
        if failure := failure_of(make_script(seed), story.append):
            shrunk = describe_shrunk(make_script(seed))
            replay = f"python -m tests.simulation --seed {seed}"
            pytest.fail(f"seed {seed}: {failure}\n{shrunk}\n{replay}", pytrace=False)
    return "\n".join(story)


HAPPENINGS = (
    *(r"turned_away .*'Incorrect passcode'", r"turned_away .*'Username already in use"),
    *(r"turned_away .*'Handshake timed out'", r"turned_away .*'Too many connections'"),
    *(r"turned_away .*'Too many attempts", r"turned_away .*'Expected: JOIN"),
    *(r"turned_away .*'Invalid username: it is empty'", r"turned_away .*username: longer than"),
    *(r"turned_away .*'Invalid username: only", r"turned_away .*'Server full'"),
    *(r"dropped .*'Server full'", r"dropped .*'Too many connections'", r"refused_at_the_door"),
    *(r"cut .* unsent, none taken for", r"cut .* unsent, behind for"),
    *(r"taken .*Message too long", r"taken .*No such user", r"taken .*Usage: "),
    *(r"typed .* None", r"typed .* b':Exit'", r"left 'U", r"failed ", r"ended "),
    *(
        r" claimed .*\n((?!.* let_in).*\n)*.* claimed ",
        r"taken .*OK\\nActive Users: ",
        r"taken .*Message to ",
    ),
    *(r"taken .*\* Message too", r"taken .*\* No such", r"taken .*\* Usage"),
    *(r"closed .* True (True|False)", r"closed .* False", r"shutdown"),
)


@pytest.mark.parametrize("seeds", BLOCKS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_seeds_pass(seeds: list[int]) -> None:
    """Look here when you change the chances of script.py."""
    text = play(seeds)
    if seeds == QUICK:
        assert not [happening for happening in HAPPENINGS if not re.search(happening, text)]


@pytest.mark.parametrize("seed", range(400) if IS_LONG else QUICK)
def test_transport_as_tls_passes_any_seed(seed: int) -> None:
    """Every second member has one, beside those on plain sockets; and the room is asked for."""
    script = make_script(seed)
    run(script._replace(setting=script.setting._replace(is_scrambled=True, is_announced=True)))


@pytest.mark.parametrize("seed", range(100 if IS_LONG else 8))
def test_tls_passes_any_seed(seed: int) -> None:
    """The same by the ssl module itself."""
    script = make_script(seed)
    run(script._replace(setting=script.setting._replace(is_sealed=True)))


@pytest.mark.parametrize("seed", range(400) if IS_LONG else QUICK)
def test_websocket_passes_any_seed(seed: int) -> None:
    """The same, of browsers beside plain members."""
    script = make_script(seed)
    run(script._replace(setting=script.setting._replace(is_framed=True)))


@fault(89)
@pytest.mark.parametrize("seed", [*RESUMES, *RESUMES_NAMED])
def test_members_that_lose_their_connections_lose_nothing_else(seed: int) -> None:
    assert resume.run(seed) == resume.LOSSES


@pytest.mark.parametrize("seed", range(20) if IS_LONG else QUICK[:5])
def test_any_part_of_a_script_is_a_script(seed: int) -> None:
    script = make_script(seed)
    chance = random.Random(seed)
    steps = [step for step in script.steps if chance.random() < 0.5]
    run(script._replace(steps=steps))


@fault(58)
@pytest.mark.parametrize("seed", range(40) if IS_LONG else QUICK[:5])
def test_server_may_be_told_to_end_at_any_moment(seed: int) -> None:
    """A thousand: `python -m tests.simulation --shutdowns 0-999`."""
    run(make_script_cut_short(seed))


@pytest.mark.parametrize("seed", QUICK[:3])
def test_a_seed_is_the_same_each_time(seed: int) -> None:
    stories: list[list[str]] = [[], []]
    for story in stories:
        run(make_script(seed), story.append)
    assert stories[0] == stories[1]
    assert any(" joined " in line for line in stories[0])


# A server that is broken is found out.


def talk(*steps: Step) -> Script:
    """Three members who are there, and then these steps."""
    joins = [
        step
        for who in range(3)
        for step in (Step("connect", who), Step("send", who, data=b"JOIN U%d abc12\n" % who))
    ]
    return Script(Setting(people=3, scale="tiny"), [*joins, Step("rest"), *steps, Step("rest")])


HELLO = Step("send", 1, data=b"hello\n")

FLOOD = Step("flood", 1, 99, b"z" * 60 + b"\n")


def test_a_lost_line_is_found_and_the_script_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cursor, "append", lambda self, data: None)
    script = talk(*[Step("send", 0, data=b"hello\n"), Step("send", 1, data=b":Users\n")] * 5)
    kind = kind_of(script)
    _, *steps, failed = describe_shrunk(script).splitlines()
    assert len(steps) <= 4
    assert failed.startswith("FAILED at step")
    assert Failure(0, failed.partition(": ")[2]).kind == kind


BROKEN = {
    "pages are kept": (Log, "drop_before", [FLOOD, Step("pass", number=1000)], "the log keeps"),
    "a member leaves in silence": (Member, "_leave", [Step("reset", 1)], "still a member"),
    "a line comes back to its sender": (Cursor, "skip", [HELLO], "due was b''"),
    "an exception is raised": (Log, "seal", [HELLO], "an exception: "),
}


@pytest.mark.parametrize(("owner", "name", "steps", "fault"), BROKEN.values(), ids=BROKEN)
def test_broken_server_is_found_out(
    owner: type, name: str, steps: list[Step], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, lambda *_: None)
    failure = failure_of(talk(*steps))
    assert failure
    assert fault in failure.fault


@pytest.mark.parametrize("bug", planted.BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_caught(bug: Entry) -> None:
    """By a seed that passes without it, as the tests above see."""
    known = RESUMES if bug.group == planted.RESUME else QUICK
    assert planted.seeds_that_catch(bug, (*planted.named_seeds(bug), *known), most=1)
