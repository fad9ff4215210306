"""Bars in notebooks: shown by a kernel, and by nothing else."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient

from autoprox.runtime.progress import notebook_bar

CELL = """
import autoprox.runtime.progress as progress
from autoprox.runtime.progress import notebook_bar
progress.UPDATE_SECONDS = 0.0
bar = notebook_bar()
for done in range(4):
    bar("layers <b>", done, 3)
"""


def test_there_is_none_outside_of_notebooks() -> None:
    assert notebook_bar() is None


def test_a_cell_has_one_bar_that_ends_full() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    html = output["data"]["text/html"]
    assert '<progress value="3" max="3"' in html
    assert "layers &lt;b&gt; 3/3" in html
