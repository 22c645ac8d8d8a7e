"""Benchmarks: this service, its peers and the limit, measured side by side in one run (docs/benchmarks.md)."""
