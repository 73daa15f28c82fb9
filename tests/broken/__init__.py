"""Servers and monitors with one fault each: programs that a verdict has to find invalid."""
