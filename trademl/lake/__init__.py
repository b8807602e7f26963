"""The lake: immutable files, the batches and snapshots made of them, and how both are read."""
