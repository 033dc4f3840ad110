"""Measurements (BENCH.md's rules: ratios within one run, candidates in turn, medians)."""
