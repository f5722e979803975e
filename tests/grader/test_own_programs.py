"""Our own programs have the full score, and nothing without points fails either."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grader.grading import ROOT, grade


@pytest.mark.timeout(120)
def test_on_pipes(tmp_path: Path) -> None:
    graded = grade(ROOT, tmp_path, "--strict")
    assert graded.failed == set(), graded.output
    assert graded.score == 100
    assert graded.status == 0


@pytest.mark.timeout(120)
def test_on_a_terminal(tmp_path: Path) -> None:
    graded = grade(ROOT, tmp_path, "--pty", "--only", "connection,broadcast,shortcuts,robustness")
    assert graded.failed == set(), graded.output
    assert graded.status == 0
