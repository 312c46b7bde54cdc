"""Make the password of Grafana's user `admin`, once: secrets/grafana-admin-password.

    python3 tools/secret.py [FILE]      prints the file's path, never the password

The directory is closed to everybody else on this machine (0700). The file itself is readable (0444), for Compose mounts
it as it is and Grafana runs as another user than yours.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).resolve().parent.parent / "secrets" / "grafana-admin-password"
BYTES: Final = 24


def ensure(file: Path = FILE) -> Path:
    """Return a file that holds a password; one that is there is never changed, for Grafana keeps the first it saw."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.parent.chmod(0o700)
    with contextlib.suppress(FileExistsError), file.open("x", encoding="ascii") as fresh:
        fresh.write(secrets.token_urlsafe(BYTES))
    file.chmod(0o444)
    return file


if __name__ == "__main__":
    print(ensure(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE))
