"""A whole evening in the room from one seed: the real server on a simulated network and clock.

    python -m tests.simulation --seed 7          one seed, step by step
    python -m tests.simulation --seeds 0-299     many, a failure with its shrunk script
    python -m tests.simulation --minutes 30      new seeds until the time is up

tcp.py and network.py are the kernel: connections, descriptors, readiness, time. script.py makes the
steps of a seed, world.py carries them out and looks at everything after each turn. What ought to
be comes from model.py, with tests/support/protocol.py (what a line means) and patience.py (who may
be cut), which are written in the obvious way and share nothing with the product but its constants.
"""
