"""Holds any serving binary against what was measured on the real Paddle Serving 0.9.0."""
