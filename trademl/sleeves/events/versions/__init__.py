"""Versions of the feature sets of events, side by side, and the curation of one for production."""
