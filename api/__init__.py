"""HTTP: Flask blueprints, their schemas, and what they share."""
