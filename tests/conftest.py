"""Settings of all tests: which Hypothesis profile, and nothing that belongs to one subject."""

import os

from hypothesis import settings

# `default`: what `make test` runs; the same examples each time, so that a failure repeats.
# `long`: chance, for a night (HYPOTHESIS_PROFILE=long).
settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("long", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
