"""Judges any serving binary: by promises, or by facts measured on Paddle Serving 0.9.0."""
