"""Our own programs with one mistake each: what the grader is graded by.

mutant.py      what a mutant is, and how it is made
scored.py      mistakes that cost points, by the group that they cost them in
unscored.py    mistakes that cost none, and changes that are none at all
table.py       what came of them, for people and for docs/GRADING.md
__main__.py    `python -m tests.grader.mutants`: grades each of them whole
"""
