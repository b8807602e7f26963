"""One training path for every sleeve: gate, splits, audit, fits, metrics, final model, run folder."""
