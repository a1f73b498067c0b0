"""The study's protocol, run anew: architectures as in the study, one inference at a time."""
