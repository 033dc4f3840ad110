"""For all tests: property tests have no time limit of their own, because machines are slow and loaded."""

from hypothesis import Phase, settings

settings.register_profile("house", deadline=None)
settings.register_profile(
    "first-failure", deadline=None, database=None, phases=(Phase.explicit, Phase.generate)
)
"""For seeded defects: that something is found is enough, the smallest example of it is not asked for."""
settings.load_profile("house")
