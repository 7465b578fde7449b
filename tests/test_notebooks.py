"""Every notebook runs from top to bottom, and shows no customer but those it asks for."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CUSTOMER = re.compile(r"C\d{5}")
#: Customers that a notebook asks for by id.
ASKED_FOR = {"taiwan_from_python": {"C10769"}}

# Put before the first cell: a warning is an error in a notebook too.
STRICT = 'import warnings\n\nwarnings.simplefilter("error")'
# Put behind the last one: the kernel itself warns when it shuts down.
LENIENT = "warnings.resetwarnings()"


def _read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_without_outputs_and_silencers(path):
    notebook = _read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not re.search(r"filterwarnings|simplefilter|catch_warnings|showwarning|%%capture", cell.source)
        assert not cell.get("attachments")
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
    # A folder like notebooks/ of a checkout, so that the notebook finds the data above itself and whatever it
    # writes lands here.
    folder = tmp_path / "checkout" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "checkout" / "data").symlink_to(ROOT / "data", target_is_directory=True)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    # This very interpreter, whether or not a kernel is installed.
    write_kernel_spec(tmp_path / "kernels" / "python3")
    specs = KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")], ensure_native_kernel=False)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)

    notebook = _read(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    notebook.cells.append(nbformat.v4.new_code_cell(LENIENT))
    client = NotebookClient(notebook, km=manager, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute(cleanup_kc=True)

    assert list(folder.iterdir()) == []
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    # Pictures are base64, in which an id may appear by chance.
    shown = [
        output
        if output.output_type == "stream"
        else {k: v for k, v in output.data.items() if "image" not in k}
        for output in outputs
    ]
    assert set(CUSTOMER.findall(json.dumps(shown))) <= ASKED_FOR.get(path.stem, set())
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert pictures
