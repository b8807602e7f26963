"""What decisions would have earned: an event-driven engine over daily bars, and its books."""
