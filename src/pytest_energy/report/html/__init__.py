"""The HTML report: a view of the run record, its pictures, and the templates that show them.

The page is one file without a script. It asks for nothing from elsewhere, and
its policy forbids both.
"""
