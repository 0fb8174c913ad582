"""Recording a running program: a native CUPTI library inside it, a spool file per process, decoding afterwards."""
