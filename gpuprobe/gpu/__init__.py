"""The only folder that touches a GPU: what imports CuPy, NVML, CUPTI or torch lives here and nowhere else."""
