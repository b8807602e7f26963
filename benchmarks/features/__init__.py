"""The feature library beside other engines: their values, their time and memory, and what a model makes of them."""
