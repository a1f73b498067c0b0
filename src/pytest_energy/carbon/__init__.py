"""Grams of CO2e from joules: intensities, regions, and things that people know.

Nothing here measures; the factors of regions are CodeCarbon's data.
"""
