"""Service tokens over HTTP."""
