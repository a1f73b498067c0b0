"""Names that are not what they seem."""

from __future__ import annotations

#: What something on the way could interpret: GitHub, GitLab, a terminal, rich, a spreadsheet.
HOSTILE = {
    "command": "::error::x",
    "command in a line": "x\n::error::x\r::error::x\u2028::error::x\x85::error::x",
    "older command": "##[error]x",
    "commands of Azure and TeamCity": "##vso[task.setvariable variable=x]y ##teamcity[z]",
    "terminal": "\x1b]8;;http://evil\x07L\x1b]8;;\x07\x1b[2J\u202e\x00\x0b\ud800",
    "markup": "[bold red]x[/] <script>alert(1)</script> ]]> &amp; ![x](http://evil/x.png) a|b",
    "formula": "=cmd|' /C calc'!A0",
    "formula behind a blank": " \u3000\uff1dcmd|' /C calc'!A0",
}
