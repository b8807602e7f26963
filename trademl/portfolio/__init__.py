"""From scores to target weights."""
