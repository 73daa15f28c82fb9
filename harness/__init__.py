"""The harness: brings up remotes and serving, drives load, keeps the history, judges it."""

__version__ = "0.1.0"
