"""The traders sleeve: a stack over trader features, shadow mode, and a ranking with luck taken out."""
