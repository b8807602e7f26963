"""Timings and long experiments; run them from the root of the checkout."""
