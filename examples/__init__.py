"""Applications built on the library; each file runs as it is."""
