"""Correct programs with odd manners: what the grader must not take points for.

habits.txt     what is odd, as changes to the reference solutions
habit.py       what a habit is, and how its programs are made
__main__.py    `python -m tests.grader.habits`: grades each of them whole
"""
