"""The faults that a run can cause on purpose, each in its own file."""
