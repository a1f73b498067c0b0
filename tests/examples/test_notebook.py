"""The example of a notebook runs from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "notebook"


@pytest.mark.model
def test_the_notebook_runs_and_shows_its_figures(tmp_path: Path) -> None:
    import nbclient  # beside torch, in the environment `model`
    import nbformat

    notebook = nbformat.read(FOLDER / "measure.ipynb", as_version=4)
    place = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(notebook, timeout=120, resources=place).execute()
    shown, printed = (each for each in notebook.cells if each.cell_type == "code")
    page = shown.outputs[-1].data["text/html"]
    assert "J / query (interval " in page
    assert "estimated" in page or "measured" in page
    assert printed.outputs[0].text.count("J / query (interval ") == 2
