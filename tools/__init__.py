"""What works on this repository: set-up, checks, generators, the demo. Never imported by the package."""
