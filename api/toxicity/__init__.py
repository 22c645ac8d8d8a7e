"""Toxicity over HTTP."""
