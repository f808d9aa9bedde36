"""What people and programs see: parse, call, render. Nothing is decided here."""
