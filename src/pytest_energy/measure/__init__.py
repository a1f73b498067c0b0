"""From sensors to rounds: windows, the protocol, what a limit covers, one test's measurement."""
