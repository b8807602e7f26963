"""The sleeves: what is particular to one market, end to end; they share one training path."""
