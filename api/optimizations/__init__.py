"""Searches for mixtures."""
