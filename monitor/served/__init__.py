"""Confirms that the server serves what the monitor installed."""
