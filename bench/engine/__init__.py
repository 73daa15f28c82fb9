"""Benchmarks of serving binaries; see ``__main__``."""
