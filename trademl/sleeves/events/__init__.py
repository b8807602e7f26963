"""Price-level events: touches of levels that traders watch, what followed, and what to expect of the next one."""
