"""The levels around the price at one moment, scored: both stages, neighbours, ensemble, feasibility, utility."""
