"""Checks a release: strict reader of archives, and the files that make a folder a model."""
