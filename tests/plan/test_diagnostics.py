"""What XLA writes to standard error is captured and passed on, whoever else captures."""

import os
import signal
import threading
import time

from alpa_mlir.xla.diagnostics import rematerializations, with_captured_log


def write(text: str) -> str:
    os.write(2, text.encode())
    return text


def test_captured_text_and_result() -> None:
    result, log = with_captured_log(
        lambda: write("W Involuntary full rematerialization. The compiler ...\n")
    )
    assert (result, rematerializations(log)) == (log, ["The compiler ..."])


def test_reader_of_standard_error_that_is_gone_fails_nothing() -> None:
    saved = os.dup(2)
    # As Python starts; a command that ran in this process has let the signal end it.
    handler = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(reading)
    try:
        result, log = with_captured_log(lambda: write("nobody reads it\n"))
    finally:
        signal.signal(signal.SIGPIPE, handler)
        os.dup2(saved, 2)
        os.close(saved)
        os.close(writing)
    assert result == log == "nobody reads it\n"


def test_captures_of_threads_leave_standard_error_as_it_was() -> None:
    before = os.fstat(2)
    inside = threading.Event()

    def begin() -> None:
        inside.set()
        time.sleep(0.1)

    first = threading.Thread(target=with_captured_log, args=(begin,))
    first.start()
    inside.wait()

    def end_last() -> None:
        first.join()
        write("second\n")

    _, log = with_captured_log(end_last)
    assert log == "second\n"
    assert os.path.samestat(before, os.fstat(2))
