"""A run: its legs, its steps, the observer."""
