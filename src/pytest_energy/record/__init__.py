"""The run record: everything one pytest session measured, as plain data, read and written.

What it looks like to a person is in `report`.
"""
