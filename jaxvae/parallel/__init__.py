"""Lanes over devices, parts of a batch over devices, processes over hosts, and what machine this is."""
