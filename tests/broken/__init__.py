"""Monitors and servers with one fault each, which a verdict has to find invalid.

``python -m tests.broken`` judges them all.
"""
