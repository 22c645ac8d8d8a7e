"""Fits of the prediction models and their checks against measured values (docs/science)."""
