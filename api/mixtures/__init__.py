"""Mixtures over HTTP."""
