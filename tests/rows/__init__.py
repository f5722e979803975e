"""One test for each fault that no other test covers: the docstrings name it by its number."""
