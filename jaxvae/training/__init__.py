"""Sweeps trained: a step lifted over lanes and devices, how many fit, and a loop that can be stopped anywhere."""
