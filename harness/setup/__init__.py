"""The environment: what it needs, and how to get it."""
