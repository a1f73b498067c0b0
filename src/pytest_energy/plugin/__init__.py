"""What knows pytest: options, settings, marker, fixture, the hooks of a test and of a session.

No measuring and no arithmetic: `measure` and `rules` do that.
"""
