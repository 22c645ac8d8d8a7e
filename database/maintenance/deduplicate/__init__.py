"""Records that say the same: found, made one, or reported. `run` is the way in."""
