"""One run and one step of it, which knows of no other lane."""
