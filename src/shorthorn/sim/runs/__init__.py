"""A run of the simulator: a schedule carried out, judged, counted and told; and the search for its smallest failing part."""
