"""Settings of all tests."""

from hypothesis import settings

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("any machine", settings.default, deadline=None)
settings.load_profile("any machine")
