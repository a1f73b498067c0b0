"""The decision rules: numbers in, verdicts out.

Pure: nothing here knows a test, a file or an instrument.
"""
