"""Pictures of runs and traces: each function takes a view and gives Pictures, or None where the data is not there."""
