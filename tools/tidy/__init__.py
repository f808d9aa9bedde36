"""Rules of this repository that no ready-made linter knows. A test with tests: tests/tools/test_tidy_*.py."""
