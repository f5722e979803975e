"""A picture of a session, from what -trace has recorded: `python3 -m tools.diagram FILE`."""
