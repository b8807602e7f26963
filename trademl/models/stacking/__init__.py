"""Stacks: a blend of base models' scores, held, scored and exported as one model."""
