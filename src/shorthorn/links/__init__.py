"""Real clients of servers, nodes and programs."""
