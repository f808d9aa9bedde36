"""The outside, as a few small Protocols: everything that can differ between two runs enters here."""
