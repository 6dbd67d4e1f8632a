"""Example applications of the library; each file can be run."""
