"""What families of probes share: host twins of their kernels, their grids, what their samples say."""
