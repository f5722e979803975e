"""A black-box fuzzer for any server that speaks docs/PROTOCOL.md.

`python3 -m tests.fuzz.wire --help` says how to run it. Standard library only; nothing of the codec,
the reactor or the room is used: what a server owes is told by tests/support/protocol.py.
"""
