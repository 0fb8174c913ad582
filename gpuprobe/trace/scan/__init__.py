"""A native scanner of Kineto events: what the Python reader reads, in a third of the time; optional."""
