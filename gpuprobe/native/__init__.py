"""Optional native parts: shared libraries that do what Python does, to the same result in less time."""
