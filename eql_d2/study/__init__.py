"""Studies: runs times seeds from one file, which go on where they stopped, and their table."""
