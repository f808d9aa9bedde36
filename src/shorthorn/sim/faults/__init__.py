"""What goes wrong and what people ask for, and when: a pure function of a seed, which can be written down and shrunk."""
