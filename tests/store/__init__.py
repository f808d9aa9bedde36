"""What only one kind of store promises; what all promise is in tests/conformance."""
