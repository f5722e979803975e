"""Fuzzing: docs/FUZZING.md says how to run it, what a finding is, and how to replay one."""
