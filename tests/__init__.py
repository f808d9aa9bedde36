"""Tests. What each folder holds is said in CONTRIBUTING.md."""
