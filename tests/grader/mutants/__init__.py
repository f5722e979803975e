"""Our own programs with one mistake each: what the grader is graded by.

mutants.txt    the mistakes, by the group of the rubric that they belong to
mutant.py      what a mutant is, and how it is made
table.py       what came of them, for people and for docs/MUTANTS.md
__main__.py    `python -m tests.grader.mutants`: grades each of them whole
"""
