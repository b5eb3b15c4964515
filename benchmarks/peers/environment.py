"""The peers' own Python environment: made from requirements.lock, and again whenever that changes.

python -m benchmarks.peers.environment [folder]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE / "requirements.lock"
FOLDER = HERE / ".venv"


def ready(folder: Path) -> Path:
    """The interpreter of the environment in this folder, in which the peers are installed as locked."""
    python, installed = folder / "bin" / "python", folder / "installed.lock"
    if not installed.exists() or installed.read_text() != LOCK.read_text():
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--require-hashes"]
        subprocess.run([*install, "--python", str(python), "--requirements", str(LOCK)], check=True)
        installed.write_text(LOCK.read_text())
    return python


if __name__ == "__main__":
    print(ready(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
