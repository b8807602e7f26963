"""The warehouse: what goes into it, how it is built, and the one door for reading it."""
