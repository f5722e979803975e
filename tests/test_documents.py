"""The examples in the documents are true: each is run, byte for byte; tables tell what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cli.flags import VERSION, server_parser
from cli.limits import limits
from server import FEATURES
from tests.support import faults
from tests.support.house import House, Person
from tests.support.protocol import NOW
from tools import structure
from tools.lessons import PICTURES
from tools.man import pages
from tools.session import ROOT, Step, read_sessions, run_session

_WIRE_STEP = re.compile(r"(\w+) +([<>]) (.*)")
_TIME = re.compile(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4}")

README = ROOT / "README.md"
PROTOCOL = ROOT / "docs" / "PROTOCOL.md"
RELIABILITY = ROOT / "docs" / "RELIABILITY.md"

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
LONG_DOCUMENTS = {"PROTOCOL", "RELIABILITY", "MUTANTS", "bench"}
"""A specification, and tables."""


def wire_examples(document: Path) -> list[str]:
    return re.findall(r"^```wire\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


def headings_of(document: Path) -> list[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def literal(text: str) -> bytes:
    value = ast.literal_eval(f"b'{text}'")
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("example", wire_examples(PROTOCOL))
def test_room_speaks_as_the_protocol_says(
    house: House, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "RESUME" in example:
        house.keep_places(monkeypatch)
    people: dict[str, Person] = {}
    for line in example.splitlines():
        step = _WIRE_STEP.fullmatch(line)
        assert step, line
        name, mark, text = step.groups()
        if name not in people:
            people[name] = house.connect()
        if text == "FIN":
            people[name].ends()
        elif text == "EOF":
            people.pop(name).reads_to_end(b"")
        elif mark == ">":
            people[name].send(literal(text))
        else:
            people[name].reads(_TIME.sub(NOW.encode(), literal(text)))
    house.room.shut_down()
    for person in people.values():
        person.reads_to_end(b"Server is shutting down\n")


def test_every_kind_of_example_was_found() -> None:
    assert len(wire_examples(PROTOCOL)) == PROTOCOL.read_text().count("```wire") > 0
    assert read_sessions(README)


@pytest.mark.parametrize("session", read_sessions(README))
def test_readme_tells_what_is_printed(session: list[Step]) -> None:
    seen = run_session(session)
    assert [step[:2] for step in seen] == [step[:2] for step in session]


def test_each_lesson_has_a_picture_and_a_question_in_120_words() -> None:
    _, *lessons = (ROOT / "docs" / "LESSONS.md").read_text().split("\n## ")
    for lesson in lessons:
        text, pictures = re.subn(r"!\[[^]]+\]\((lessons/[\w-]+\.svg)\)", "", lesson)
        assert (pictures, text.count("**Question.**")) == (1, 1)
        assert len(text.split()) <= 120
    assert {path.stem for path in (ROOT / "docs" / "lessons").iterdir()} == {*PICTURES}
    assert all(f"(lessons/{name}.svg)" in "".join(lessons) for name in PICTURES)


def test_picture_of_the_layers_is_that_of_the_imports() -> None:
    assert (ROOT / "docs" / "architecture.svg").read_text() == structure.drawing(), (
        "make architecture"
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", document.read_text()):
        path = document.parent / target if target else document
        assert path.exists(), target
        assert not anchor or anchor in headings_of(path), anchor


def test_admin_reads_of_every_option() -> None:
    options = re.findall(
        r"^  .*?(-[a-z-]+)[ ,].*--", server_parser(FEATURES).format_help(), re.MULTILINE
    )
    told = re.findall(
        r"`(-[a-z-]+)", (ROOT / "docs" / "ADMIN.md").read_text().split("## Every option")[1]
    )
    assert len(options) > 20
    assert {*options} - {*told} == {"-h"}


def test_documents_are_short_enough_to_be_read() -> None:
    pages = (ROOT / "docs").glob("*.md")
    words = {page.stem: len(re.findall(r"\S*\w\S*", page.read_text())) for page in pages}
    assert {name for name, count in words.items() if count > 1_500} <= LONG_DOCUMENTS


def test_each_page_begins_with_whom_it_is_for() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert re.match(r"# .*\n\nFor ", page.read_text()), page.name


def test_limits_are_those_of_the_source() -> None:
    documented = re.findall(r"^\| `([\w.]+)` \| ([\d.,]+) \|$", RELIABILITY.read_text(), re.M)
    assert documented == [
        (f"{limit.module}.{limit.name}", f"{limit.value:,}") for limit in limits()
    ]


def test_each_fault_has_a_test_named_in_the_table_or_says_later() -> None:
    document = RELIABILITY.read_text()
    rows, marked = faults.in_table(document), faults.marked()
    assert list(rows) == list(range(1, len(rows) + 1))
    assert set(marked) == {row for row, deed in rows.items() if deed != faults.LATER}
    assert document == faults.rewrite(document, marked), "make fault-table"


def test_manual_pages_are_those_of_the_parsers() -> None:
    assert {path: path.read_text() for path in pages()} == pages(), "make man"


def test_changelog_begins_with_the_version_of_the_programs() -> None:
    headings = re.findall(r"^## (?!Unreleased)(.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == VERSION
