"""From target weights to orders: schedules, brokers, the blotter and what halts them."""
