"""Judges the history of a run: history, claims, verdict."""
