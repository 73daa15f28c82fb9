"""Fuzzers: damaged and random inputs, and what has to hold of each of them."""
