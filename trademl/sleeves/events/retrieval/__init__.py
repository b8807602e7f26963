"""The most similar touches of the past: an index of resolved events, exact or approximate search, summaries."""
