"""The bench of serving binaries; see ``__main__``."""
