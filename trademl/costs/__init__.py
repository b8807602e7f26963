"""What trading costs: one object for backtests, optimisers and pre-trade estimates; pure mathematics."""
