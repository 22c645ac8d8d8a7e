"""Predictions beside experiments over HTTP."""
