"""The wheel, as a user gets it. `make wheel` makes it; nothing here builds anything."""
