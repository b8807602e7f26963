"""Pages about finished runs: how honest the probabilities are, and the one page that governance reads."""
