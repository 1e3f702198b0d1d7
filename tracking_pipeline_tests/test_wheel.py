"""The wheel, without the checkout that it was built from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from tracking_pipeline_tests.dev_process import CHECKOUT
from tracking_pipeline_tests.servers import reachable_folder

_BUILD = "import hatchling.build, sys; hatchling.build.build_wheel(sys.argv[1])"
_COMMAND = "import tracking_pipeline.cli as cli; cli.main()"


def test_it_works_in_an_empty_folder(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _BUILD, tmp_path], cwd=CHECKOUT, check=True)
    [wheel] = tmp_path.glob("*.whl")
    installed, folder = tmp_path / "installed", reachable_folder()
    zipfile.ZipFile(wheel).extractall(installed)
    checked = subprocess.run(
        [sys.executable, "-c", _COMMAND, "check", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        check=True,
    )
    assert json.loads(checked.stdout)["success"] is True
