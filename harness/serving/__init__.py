"""Which binary serves, its trial, and the launcher."""
