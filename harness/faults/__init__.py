"""The faults that a run can cause on purpose, one a file."""
