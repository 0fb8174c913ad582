"""Energy: what the power sensor does, and joules per operation and per byte; pure functions of recorded readings."""
