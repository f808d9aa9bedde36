"""Rules taken out, one by one, and the test that fails then: a proof that cannot fail is none."""
