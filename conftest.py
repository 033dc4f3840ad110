"""For all tests: property tests have no time limit of their own, because machines are slow and loaded."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
