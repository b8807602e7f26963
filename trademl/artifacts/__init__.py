"""Durable artifacts: atomic files, and the run folder that holds one training run."""
