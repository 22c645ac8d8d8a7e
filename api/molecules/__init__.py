"""Molecules over HTTP."""
