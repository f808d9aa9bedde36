"""Runs every proof at length and writes what came of it down: `make prove`."""
