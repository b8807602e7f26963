"""Honest validation: splits that do not leak, and statistics that do not flatter. Pure mathematics on numpy arrays."""
