"""Benchmarks: ratios of values that are measured in one run."""
