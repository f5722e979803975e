"""Our own programs on a terminal, whole. On pipes: test_ci.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.grader.grading import ROOT, grade


@pytest.mark.timeout(120)
def test_on_a_terminal(tmp_path: Path) -> None:
    graded = grade(ROOT, tmp_path, "--pty")
    assert graded.failed == set(), graded.output
    assert (graded.score, graded.status) == (100, 0)
