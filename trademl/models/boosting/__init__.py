"""Gradient-boosted trees, one module a family."""
