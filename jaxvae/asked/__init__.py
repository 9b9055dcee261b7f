"""What is asked for: a spec and its grid, checked before anything is compiled, resolved into groups of lanes."""
