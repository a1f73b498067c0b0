"""The study's protocol, run anew: architectures as in the study, one inference at a time."""

#: What pytest is given with -p.
plugin_name = "pytest_energy.study.running.plugin"
