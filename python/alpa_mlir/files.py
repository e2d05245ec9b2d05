"""Files that are written whole or not at all: a reader finds what was there, or what is new."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from alpa_mlir.errors import AlpaError


def write_text(path: str | Path, text: str, raised: type[AlpaError]) -> None:
    """Writes a file, or leaves everything as it is.

    Raises:
      AlpaError: of the class `raised`: it cannot be written.
    """
    with replacing(path, raised) as file:
        file.write_text(text, encoding="utf-8")


def check_can_write(path: str | Path, raised: type[AlpaError]) -> None:
    """Looks whether a file could be written now, and leaves everything as it is: for those who
    work long before they write.

    Raises:
      AlpaError: of the class `raised`: it could not.
    """
    with _refusals(path, raised):
        if not _is_stream(path):
            _begin(path).unlink()


@contextmanager
def replacing(path: str | Path, raised: type[AlpaError]) -> Generator[Path]:
    """Yields a file beside `path` to be written, which takes its place if the block ends well.

    What is no regular file (a terminal, a pipe) is yielded itself.

    Raises:
      AlpaError: of the class `raised`: it cannot be written.
    """
    with _refusals(path, raised):
        if _is_stream(path):
            yield Path(path)
            return
        target = Path(os.path.realpath(path))
        beside = _begin(path)
        try:
            yield beside
            if target.exists():
                shutil.copymode(target, beside)
            beside.replace(target)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise


@contextmanager
def _refusals(path: str | Path, raised: type[AlpaError]) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, half a UTF-16 pair
        reason = getattr(error, "strerror", None) or str(error)
        raise raised(
            f"cannot write {path}: {reason[:1].lower()}{reason[1:]}; name another file"
        ) from None


def _is_stream(path: str | Path) -> bool:
    target = Path(path)
    return target.exists() and not target.is_file() and not target.is_dir()


def _begin(path: str | Path) -> Path:
    """An empty file beside what `path` leads to, on the same disk: to put it there is one step."""
    if "\0" in str(path):  # of which Python versions say different things
        raise OSError("its name has a NUL in it")
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OSError("it is a folder")
    if not target.parent.is_dir():
        raise OSError(f"there is no folder {target.parent}")
    if target.exists():
        target.open("a").close()  # refuses where one may not write, though one may replace
    if len(os.fsencode(target.name)) > os.pathconf(target.parent, "PC_NAME_MAX"):
        raise OSError("its name is too long")
    beside = target.parent / f".{uuid4().hex}.part{target.suffix[:8]}"
    beside.touch(exist_ok=False)
    return beside
