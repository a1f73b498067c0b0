"""Runs of the study's protocol: its architectures, one inference at a time."""
