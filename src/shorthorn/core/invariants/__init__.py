"""What must always hold (docs/design.md section 4), checked apart from the law and from planning."""
