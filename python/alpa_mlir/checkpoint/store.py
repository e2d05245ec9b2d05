"""The door to orbax: numbered checkpoints in a folder.

    folder/12/state          the state, as orbax's StandardSave writes it: OCDBT, one array per leaf
    folder/12/plan/plan.json the plan it was made under, as `Plan.save` writes it

A checkpoint is written under another name, which it loses when it is complete.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import jax

from alpa_mlir.checkpoint import leaves
from alpa_mlir.checkpoint.leaves import LeafType
from alpa_mlir.checkpoint.processes import array_handlers
from alpa_mlir.errors import CheckpointError, DamagedCheckpointError

_STATE, _PLAN, _PLAN_FILE = "state", "plan", "plan.json"
_MOST_REASON = 300  # characters


def saved_numbers(path: str | Path) -> list[int]:
    """Those of the complete checkpoints in a folder, the latest last; none without a folder."""
    folder = Path(path)
    try:
        found = [each.name for each in folder.iterdir() if each.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {_reason(error)}; name a folder") from None
    return sorted(int(each) for each in found if each.isdecimal() and each == str(int(each)))


def make_folder(path: str | Path) -> None:
    """Makes it if it is not there, and looks whether it can be written.

    Raises:
      CheckpointError: it cannot.
    """
    try:
        if "\0" in str(path):
            raise OSError("its name has a NUL in it")
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{uuid4().hex}.part"
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot write checkpoints to {path}: {_reason(error)}; name another folder"
        ) from None


def begin(path: str | Path, number: int, state: Any, plan: Any, keep: int | None) -> Any:
    """Copies the state to the host and starts to write it.

    Args:
      state: arrays in containers.
      plan: its JSON.
      keep: how many checkpoints stay; None is all.

    Returns:
      Orbax's manager, to be given to `finish`.
    """
    with _writing(path, number):
        manager = _manager(path, keep, is_writer=True)
        args = orbax().args
        kind = args.PyTreeSave if _is_shared() else args.StandardSave
        items = {_STATE: kind(state), _PLAN: args.JsonSave(plan)}
        try:
            if not manager.save(number, args=args.Composite(**items)):
                raise RuntimeError("orbax would not save it")
        except BaseException:
            manager.close()
            raise
    return manager


def finish(manager: Any, path: str | Path, number: int) -> None:
    """Waits until a checkpoint is complete.

    Raises:
      CheckpointError: it could not be written; those before it are as they were.
    """
    with _writing(path, number):
        try:
            manager.wait_until_finished()
        finally:
            manager.close()


class Reader:
    """One checkpoint, for reading.

    Raises:
      CheckpointError: it is none of ours.
      DamagedCheckpointError: by each method: files are not there or not whole.
    """

    def __init__(self, path: str | Path, number: int) -> None:
        self.where = f"checkpoint {number} in {path}"
        self._number = number
        folder = Path(path) / str(number)
        if not (folder / _STATE).is_dir():
            raise CheckpointError(
                f"expected a checkpoint that alpa.save wrote, got a folder {folder} without "
                f"{_STATE}; name another folder"
            )
        self._manager = _manager(path)
        try:
            with self._reading():
                found = self._manager.item_metadata(number)[_STATE]
                if found is None:
                    raise FileNotFoundError("what says which arrays there are is gone")
                self._tree = found.tree
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._manager.close()

    def types(self) -> dict[leaves.Path, LeafType]:
        """What is stored, by the paths of the leaves."""
        with self._reading():
            return {
                path: leaves.leaf_type(found) for path, found in leaves.paths_and_leaves(self._tree)
            }

    def read(self, wanted: Mapping[leaves.Path, jax.ShapeDtypeStruct]) -> dict[leaves.Path, Any]:
        """All arrays, each directly into the sharding of its `ShapeDtypeStruct`."""
        paths = [path for path, _ in leaves.paths_and_leaves(self._tree)]
        target = jax.tree.structure(self._tree).unflatten([wanted[path] for path in paths])
        args = orbax().args
        if _is_shared():
            found = orbax().checkpoint_utils.construct_restore_args(target)
            # Of PRNG keys orbax leaves the shape out, by which what is not here is made.
            whole = jax.tree.map(
                lambda struct, how: replace(how, global_shape=struct.shape), target, found
            )
            how = args.PyTreeRestore(target, restore_args=whole)
        else:
            how = args.StandardRestore(target)
        with self._reading():
            items = args.Composite(**{_STATE: how})
            state = self._manager.restore(self._number, args=items)[_STATE]
        return dict(zip(paths, jax.tree.leaves(state), strict=True))

    @contextmanager
    def _reading(self) -> Generator[None]:
        try:
            yield
        except jax.errors.JaxRuntimeError:  # of the devices, such as too little memory
            raise
        except Exception as error:  # orbax raises what its parsers raise, and Exception itself
            raise DamagedCheckpointError(f"cannot read {self.where}: {_reason(error)}") from None


def orbax() -> Any:
    """The package, imported when it is first needed.

    Raises:
      CheckpointError: it is not installed.
    """
    try:
        import orbax.checkpoint
    except ImportError:
        raise CheckpointError(
            "expected orbax-checkpoint to keep state on disk, which is not installed; "
            "pip install 'alpa_mlir[checkpoint]'"
        ) from None
    return orbax.checkpoint


def _manager(path: str | Path, keep: int | None = None, is_writer: bool = False) -> Any:
    package = orbax()
    alone: dict[str, Any] = {}
    if _is_shared() and not is_writer:
        # Each process reads by itself, and waits for no other one that may find damage.
        own = jax.process_index()
        alone["multiprocessing_options"] = package.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"reader{own}"
        )
    options = package.CheckpointManagerOptions(
        **alone,
        max_to_keep=keep,
        create=False,
        cleanup_tmp_directories=is_writer,  # what a killed process left
        # Made in the background, a folder that cannot be made is waited for until time runs out.
        async_options=package.AsyncOptions(create_directories_asynchronously=False),
    )
    handlers = {
        _STATE: _state_handler(package),
        _PLAN: package.handlers.JsonCheckpointHandler(_PLAN_FILE),
    }
    return package.CheckpointManager(Path(path).absolute(), options=options, item_handlers=handlers)


def _is_shared() -> bool:
    """Whether several processes write it."""
    return jax.process_count() > 1


def _state_handler(package: Any) -> Any:
    if _is_shared():
        return package.PyTreeCheckpointHandler(type_handler_registry=array_handlers(package))
    return package.StandardCheckpointHandler()


@contextmanager
def _writing(path: str | Path, number: int) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot write checkpoint {number} to {path}: {_reason(error)}; what was there before "
            "is as it was"
        ) from None


def _reason(error: BaseException) -> str:
    """The first cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    first = text.strip().splitlines()[0].split(" [tensorstore_spec=")[0].split(" [source")[0]
    if first[1:2].islower():
        first = first[0].lower() + first[1:]
    if len(first) > _MOST_REASON:  # TensorStore begins with what failed and ends with why
        first = f"{first[: _MOST_REASON // 2]} ... {first[-_MOST_REASON // 2 :]}"
    return first.rstrip(".;: ")
