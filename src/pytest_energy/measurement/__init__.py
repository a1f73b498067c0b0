"""From sensors to one test's measurement: windows, rounds, what a limit covers, the verdict.

No instrument is named here (`sensors`), and no rule is decided here (`rules`).
"""
