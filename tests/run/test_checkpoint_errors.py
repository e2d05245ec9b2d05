"""What cannot be saved or restored is refused in one line, and what is damaged is passed over."""

import gc
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest
from alpa_mlir.errors import ArgumentError, CheckpointError, DamagedCheckpointError

METHOD = alpa.ShardParallel(mesh_shape=(2, 4))


def advance(state: Any, batch: Any) -> Any:
    return jax.tree.map(lambda x: x + 1, state), jnp.mean(batch)


def state_of(value: float) -> Any:
    full = jnp.full((16, 8), value, jnp.float32)
    return {"layer": {"bias": full[:, 0], "kernel": full}}


def compiled(state: Any) -> Any:
    step = alpa.parallelize(advance, METHOD, donate_argnums=())
    step.compile(state, jnp.ones(8))
    return step


@pytest.fixture(scope="module")
def step() -> Any:
    return compiled(state_of(0))


@pytest.fixture(scope="module")
def two_checkpoints(step: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their states are full of 1 and of 2."""
    folder = tmp_path_factory.mktemp("two")
    for number in (1, 2):
        alpa.save(folder, state_of(number), step, number=number).wait()
    return folder


@pytest.fixture
def folder(two_checkpoints: Path, tmp_path: Path) -> Path:
    return shutil.copytree(two_checkpoints, tmp_path / "copy")


def assert_full_of(state: Any, value: float) -> None:
    assert all(np.all(np.asarray(leaf) == value) for leaf in jax.tree.leaves(state))


# --- What is asked for ---


@pytest.mark.parametrize("name", ["none", "empty"])
def test_no_checkpoint(name: str, step: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=f"expected checkpoints in .*{name}, got none; "):
        alpa.restore(tmp_path / name, like=step)


def test_no_such_number(step: Any, two_checkpoints: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected checkpoint 7 in .*, which has 1, 2; "):
        alpa.restore(two_checkpoints, like=step, number=7)
    assert_full_of(alpa.restore(two_checkpoints, like=step, number=1), 1)


def test_step_that_is_not_compiled(tmp_path: Path) -> None:
    step = alpa.parallelize(advance, METHOD)
    with pytest.raises(ArgumentError, match="expected a compiled step to restore state for, got"):
        alpa.restore(tmp_path, like=step)
    with pytest.raises(ArgumentError, match="expected a compiled step to save state for, got adv"):
        alpa.save(tmp_path, state_of(0), step)
    assert list(tmp_path.iterdir()) == []


def test_no_such_argument(step: Any, two_checkpoints: Path) -> None:
    with pytest.raises(ArgumentError, match="expected argnum to name an argument"):
        alpa.restore(two_checkpoints, like=step, argnum=5)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"layer": {"bias": jnp.ones(16), "weight": jnp.ones((16, 8))}},
            r"expected layer\.weight float32\[16, 8\] in the state of checkpoint 2 in .*, which "
            r"has no such leaf but has layer\.kernel; ",
        ),
        (
            {"layer": {"bias": jnp.ones(16)}},
            r"expected the leaves of the step's state, got layer\.kernel float32\[16, 8\] besides",
        ),
        (
            {"layer": {"bias": jnp.ones(16), "kernel": jnp.ones((8, 16))}},
            r"expected layer\.kernel to be float32\[8, 16\], got float32\[16, 8\] in checkpoint 2",
        ),
        (
            {"layer": {"bias": jnp.ones(16, jnp.bfloat16), "kernel": jnp.ones((16, 8))}},
            r"expected layer\.bias to be bfloat16\[16\], got float32\[16\] in checkpoint 2",
        ),
        (
            {"layer": {"bias": jnp.ones(16), "kernel": jnp.ones((16, 8)), "z": jnp.ones(2)}},
            r"expected layer\.z float32\[2\] in the state of .*, which has no such leaf; ",
        ),
    ],
    ids=["renamed", "more", "shape", "dtype", "fewer"],
)
def test_another_state_names_the_leaf(state: Any, message: str, two_checkpoints: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        alpa.restore(two_checkpoints, like=compiled(state))
    assert alpa.saved_numbers(two_checkpoints) == [1, 2]


def test_words_are_no_key(tmp_path: Path) -> None:
    def identity(state: Any, batch: Any) -> Any:
        return state, jnp.mean(batch)

    step = alpa.parallelize(identity, METHOD, donate_argnums=())
    words = {"key": jnp.zeros(2, jnp.uint32)}
    step.compile(words, jnp.ones(8))
    alpa.save(tmp_path, words, step)
    step.compile({"key": jax.random.key(0)}, jnp.ones(8))
    with pytest.raises(CheckpointError, match=r"expected key to be key<fry>, got uint32 in check"):
        alpa.restore(tmp_path, like=step)


# --- What is to be saved ---


def test_number_that_is_not_above_the_latest(step: Any, two_checkpoints: Path) -> None:
    with pytest.raises(ArgumentError, match=r"expected a number above 2, that of the latest"):
        alpa.save(two_checkpoints, state_of(0), step, number=2)
    with pytest.raises(ArgumentError, match="expected a number of at least 0 for a checkpoint"):
        alpa.save(two_checkpoints, state_of(0), step, number=-1)
    with pytest.raises(ArgumentError, match=r"expected a whole number for a checkpoint, got 3\.5"):
        alpa.save(two_checkpoints, state_of(0), step, number=3.5)  # pyright: ignore
    with pytest.raises(ArgumentError, match="expected to keep at least 1 checkpoint, got 0"):
        alpa.save(two_checkpoints, state_of(0), step, keep=0)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": "text"}}, r"expected arrays and numbers in a state, got str at a\.b; "),
        ({"a": object()}, "expected arrays and numbers in a state, got object at a; "),
        ({"a": None}, "expected a state with at least one array"),
        (
            {"a": {"b": jnp.ones(3)}, "a.b": jnp.ones(3)},
            r"expected leaves of different names, got a\.b from the keys",
        ),
    ],
    ids=["text", "object", "nothing", "same_name"],
)
def test_state_that_cannot_be_stored(state: Any, message: str, step: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        alpa.save(tmp_path, state, step)
    assert list(tmp_path.iterdir()) == []


def test_state_that_was_donated(step: Any, tmp_path: Path) -> None:
    state = state_of(0)
    state["layer"]["kernel"].delete()
    message = r"cannot write checkpoint 0 to .*: array has been deleted"
    with pytest.raises(CheckpointError, match=message):
        alpa.save(tmp_path, state, step)
    alpa.save(tmp_path, state_of(1), step, number=jnp.int32(5)).wait()
    assert alpa.saved_numbers(tmp_path) == [5]


@pytest.mark.parametrize("name", ["file", "file/below", "nul\0", "x" * 300])
def test_folder_that_cannot_be_written(name: str, step: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match=r"cannot write checkpoints to .*; name another"):
        alpa.save(tmp_path / name, state_of(0), step)
    assert (tmp_path / "file").read_text() == "mine"


def test_save_that_fails_is_told_once(
    step: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the disk is full."""

    async def fill_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    alpa.save(tmp_path, state_of(0), step).wait()
    monkeypatch.setattr(orbax.checkpoint.JsonCheckpointHandler, "_save_fn", fill_disk)
    saving = alpa.save(tmp_path, state_of(1), step)
    message = r"cannot write checkpoint 1 to .*: no space left on device; what was there before is"
    with pytest.raises(CheckpointError, match=message):
        alpa.save(tmp_path, state_of(2), step)
    with pytest.raises(CheckpointError, match=message):
        saving.wait()

    monkeypatch.undo()
    assert_full_of(alpa.restore(tmp_path, like=step), 0)
    assert alpa.save(tmp_path, state_of(3), step).number == 1
    assert_full_of(alpa.restore(tmp_path, like=step), 3)


def test_missing_package_says_what_to_install(
    step: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(CheckpointError, match=re.escape("pip install 'alpa_mlir[checkpoint]'")):
        alpa.save(tmp_path, state_of(0), step)
    assert list(tmp_path.iterdir()) == []


# --- What is there ---


@pytest.fixture
def failed_reads() -> Iterator[None]:
    """Of which orbax leaves coroutines that were never awaited, for the garbage collector."""
    yield
    gc.collect()


damaged = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def damages(file: Path) -> Any:
    """Ways in which a file is not what was written."""
    content = file.read_bytes()
    yield "gone", file.unlink
    yield "half", lambda: file.write_bytes(content[: len(content) // 2])
    yield "zeros", lambda: file.write_bytes(bytes(len(content)))


@damaged
@pytest.mark.usefixtures("failed_reads")
def test_damaged_checkpoint_is_passed_over(
    step: Any, two_checkpoints: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    whole, passed_over = 0, 0
    for i, file in enumerate(sorted((two_checkpoints / "2").rglob("*"))):
        for how in ("gone", "half", "zeros") if file.is_file() else ():
            folder = shutil.copytree(two_checkpoints, tmp_path / f"{i}{how}")
            dict(damages(folder / file.relative_to(two_checkpoints)))[how]()
            state = alpa.restore(folder, like=step)
            warnings = [str(each.message) for each in recwarn.list]
            recwarn.clear()
            if not warnings:  # it is none of the files that the state is read from
                assert_full_of(state, 2)
                whole += 1
                continue
            assert_full_of(state, 1)
            (warning,) = warnings
            assert re.match(r"cannot read checkpoint 2 in .*; it is 2\.\w+\.damaged now", warning)
            assert alpa.saved_numbers(folder) == [1]
            passed_over += 1
    assert passed_over >= 10
    assert whole >= 5


@damaged
@pytest.mark.usefixtures("failed_reads")
def test_number_of_damaged_checkpoint_is_free_again(folder: Path, step: Any) -> None:
    (folder / "2" / "state" / "manifest.ocdbt").unlink()
    with pytest.warns(UserWarning, match="cannot read checkpoint 2"):
        assert_full_of(alpa.restore(folder, like=step), 1)
    alpa.save(folder, state_of(5), step, number=2)
    assert_full_of(alpa.restore(folder, like=step), 5)


@damaged
@pytest.mark.usefixtures("failed_reads")
def test_damaged_checkpoint_that_was_named_or_is_the_last(folder: Path, step: Any) -> None:
    for number in (1, 2):
        (folder / str(number) / "state" / "manifest.ocdbt").unlink()
    with pytest.raises(DamagedCheckpointError, match=r"cannot read checkpoint 2 in .*; name anot"):
        alpa.restore(folder, like=step, number=2)
    assert alpa.saved_numbers(folder) == [1, 2]
    with (
        pytest.warns(UserWarning, match="cannot read checkpoint 2"),
        pytest.raises(DamagedCheckpointError, match=r"cannot read checkpoint 1 in .*; name anot"),
    ):
        alpa.restore(folder, like=step)


def test_folders_of_others_are_left_alone(folder: Path, step: Any) -> None:
    for name in ("3.orbax-checkpoint-tmp", "notes", "007", "-1"):
        (folder / name).mkdir()
    assert_full_of(alpa.restore(folder, like=step), 2)
    (folder / "4").mkdir()
    with pytest.raises(CheckpointError, match=r"expected a checkpoint that alpa\.save wrote, "):
        alpa.restore(folder, like=step)
    assert (folder / "4").is_dir()
