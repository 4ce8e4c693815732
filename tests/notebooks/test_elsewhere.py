"""A notebook copied to an empty folder, where attnlib is not installed, runs: its set-up cell installs it.

What the reader's machine has and what it lacks is made here: a fresh environment that sees this one's packages but
not attnlib, and git told to find the repository's address in this checkout (its last commit). No network is used.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest

from tools.kernel import surroundings
from tools.paths import BOOK, ROOT
from tools.repository import read

WITHOUT_ATTNLIB = "import importlib.util, sys; sys.exit(importlib.util.find_spec('attnlib') is not None)"
RUN = """\
import nbclient, nbformat, sys
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture
def elsewhere(tmp_path):
    """The Python of a new environment with every package of this one, except attnlib."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.strip()
    # The packages are linked one by one: a path to the folder would carry attnlib's own record along, and pip would
    # find attnlib installed.
    inherited = home / "inherited"
    inherited.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "attnlib" not in entry.name and entry.suffix != ".pth":
            try:
                (inherited / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
            except OSError as error:
                pytest.skip(f"this account may not make links (Windows allows it in developer mode): {error}")
    (Path(packages) / "inherited.pth").write_text(f"{inherited}\n", encoding="utf-8")
    assert subprocess.run([python, "-c", WITHOUT_ATTNLIB], cwd=tmp_path).returncode == 0
    return python


def environment(tmp_path) -> dict[str, str]:
    settings = {
        # git finds the repository's address in this checkout.
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": read().url,
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
        # pip builds with what is there, and asks no index for anything.
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as "no isolation", whatever the value seems to say
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "HOME": str(tmp_path),
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}
    return inherited | settings


def test_a_notebook_alone_in_a_folder_runs(elsewhere, tmp_path):
    source = BOOK / "numpy" / "scaled_dot_product_attention.ipynb"
    notebook = nbformat.read(source, as_version=4)
    where = "import attnlib\n\nprint(attnlib.__file__)"
    notebook.cells.append(nbformat.v4.new_code_cell(where))
    folder = tmp_path / "empty"
    folder.mkdir()
    copy = folder / source.name
    nbformat.write(notebook, copy)
    with surroundings():
        done = subprocess.run(
            [elsewhere, "-c", RUN, copy],
            cwd=folder,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
    assert done.returncode == 0, done.stdout[-5000:]
    installed = Path(nbformat.read(copy, as_version=4).cells[-1].outputs[0].text.strip())
    assert installed.is_relative_to(Path(elsewhere).parent.parent)
    assert not installed.is_relative_to(ROOT)


def test_the_set_up_cell_does_not_hide_a_failed_installation(elsewhere, tmp_path):
    from tools.setup_cell import source

    settings = environment(tmp_path) | {"GIT_CONFIG_KEY_0": "url.file:///nowhere.insteadOf"}
    done = subprocess.run([elsewhere, "-c", source()], env=settings, cwd=tmp_path, capture_output=True)
    assert done.returncode != 0


def test_the_set_up_cell_does_nothing_where_attnlib_is_installed(tmp_path):
    from tools.setup_cell import source

    settings = environment(tmp_path) | {"PATH": ""}  # neither git nor anything else could be called
    done = subprocess.run([sys.executable, "-c", source()], env=settings, cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
