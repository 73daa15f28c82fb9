"""Benchmarks and comparisons, each printing one table."""
