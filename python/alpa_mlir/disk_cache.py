"""What was found once, for the next time: a file of JSON each, the least used of them go first."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

_MAX_BYTES = 256 << 20
# Of `_MAX_BYTES`, what is left when files are removed, so that this is not done at every write.
_KEPT_SHARE = 0.8

ABSENT = object()


def default_cache_dir() -> Path:
    """$ALPA_MLIR_CACHE_DIR, or a folder in the user's cache."""
    if chosen := os.environ.get("ALPA_MLIR_CACHE_DIR"):
        return Path(chosen)
    return user_cache_path("alpa_mlir", appauthor=False) / "stages"


def chosen_dir(cache_dir: str | Path) -> Path:
    """What a method's `cache_dir` names: "auto" is the default."""
    return default_cache_dir() if cache_dir == "auto" else Path(cache_dir)


@dataclass
class DiskCache:
    """A folder of files by name. An unusable disk never ends the planning.

    Attributes:
      max_bytes: of all files together.
    """

    folder: Path
    max_bytes: int = _MAX_BYTES
    _num_bytes: int | None = None

    def read(self, name: str) -> object:
        """What was written; ABSENT where nothing is there that can be read."""
        path = self._path(name)
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            return ABSENT
        with suppress(OSError):
            path.touch()  # used last
        return data

    def write(self, name: str, data: object) -> None:
        """A file that is there is replaced at once, or not at all."""
        text = json.dumps(data)
        with suppress(OSError):  # full or read-only
            self.folder.mkdir(parents=True, exist_ok=True)
            # Named as the others, so that what a killed process leaves is counted and goes too.
            with tempfile.NamedTemporaryFile(
                "w", dir=self.folder, suffix=".json", delete=False
            ) as file:
                path = Path(file.name)
                try:
                    file.write(text)
                    file.flush()
                except OSError:
                    path.unlink()
                    raise
            path.replace(self._path(name))
            self._make_room(len(text))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _make_room(self, num_added: int) -> None:
        if self._num_bytes is None:
            self._num_bytes = sum(size for _, size, _ in self._files())
        else:
            self._num_bytes += num_added
        if self._num_bytes <= self.max_bytes:
            return
        files = sorted(self._files())
        self._num_bytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._num_bytes <= _KEPT_SHARE * self.max_bytes:
                return
            path.unlink(missing_ok=True)
            self._num_bytes -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each was used last, its size, its path; others may remove some meanwhile."""
        found: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*.json"):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found
