"""The steps of a small world, by who makes them. Each function looks at a `Frame` and notes what may happen next."""
