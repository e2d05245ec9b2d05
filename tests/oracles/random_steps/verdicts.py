"""Judges one random step run with one method: against one device, or why it was refused."""

import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import alpa_mlir as alpa
import jax
from programs.random_steps.registry import CONSTRUCTS
from programs.random_steps.source import Source, load, write_source
from programs.random_steps.spec import RandomStep

from oracles.random_steps.comparison import Comparison, compare, train
from oracles.random_steps.examples import Meeting, examples_meet
from oracles.random_steps.methods import Asked, parallelized

OK, UNSTABLE, WRONG = "ok", "unstable", "wrong"
JUSTIFIED, UNJUSTIFIED = "justified refusal", "unjustified refusal"
ERROR, CRASH, HANG, FAULT = "bare error", "crash", "hang", "fault of the harness"
KINDS = (OK, UNSTABLE, JUSTIFIED, UNJUSTIFIED, WRONG, ERROR, CRASH, HANG, FAULT)
REFUSALS = (JUSTIFIED, UNJUSTIFIED)
FAILURES = (WRONG, ERROR, CRASH, HANG, FAULT)


@dataclass(frozen=True)
class Verdict:
    kind: str
    message: str = ""
    seconds: float = 0.0

    @property
    def signature(self) -> str:
        """The same for failures that are probably the same."""
        if self.kind == WRONG:
            return self.kind
        words = re.sub(r"\S+:\d+:\d+: |error: ", "", self.message)
        words = re.sub(r"tensor<[^>]*>+", "tensor", words)
        words = re.sub(r"[%@]\w+|\d[\d.]*(e[+-]?\d+)?", "_", words)
        return f"{self.kind}: {words[:100]}"


def judge(
    step: RandomStep, asked: Asked, say: Callable[[str], None] = lambda phase: None
) -> Verdict:
    """`say` is told what begins: the reference, the step as asked, or the numeric oracle."""
    source = write_source(step)
    module = load(source.text)
    say("reference")
    try:
        reference = train(jax.jit(module["step"]), module, step.mode)
    except Exception:
        return Verdict(FAULT, f"jax.jit: {traceback.format_exc(limit=-1)}")
    say("parallel")
    start = time.perf_counter()
    try:
        arguments = module["init"](), module["make_batch"](0)
        actual = train(parallelized(asked, module["step"], *arguments), module, step.mode)
    except alpa.AlpaError as error:
        seconds = time.perf_counter() - start
        say("oracle")
        return _judge_refusal(step, asked, source, f"{type(error).__name__}: {error}", seconds)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({where.name})"
        return Verdict(ERROR, _one_line(message), time.perf_counter() - start)
    seconds = time.perf_counter() - start
    say("reference")
    return _judge_numbers(compare(actual, reference, module, step), seconds)


def _judge_numbers(comparison: Comparison, seconds: float) -> Verdict:
    if comparison.wrong:
        return Verdict(WRONG, comparison.wrong, seconds)
    return Verdict(UNSTABLE if comparison.unjudged else OK, comparison.unjudged, seconds)


def _one_line(message: str) -> str:
    return " ".join(message.split())[:1000]


def expected_meeting(step: RandomStep) -> str:
    """What the constructs say."""
    found = {CONSTRUCTS[p.construct].meets(dict(p.options)) for p in step.pieces}
    return next((m for m in ("with parameters", "batch alone") if m in found), "no")


def _judge_refusal(
    step: RandomStep, asked: Asked, source: Source, message: str, seconds: float
) -> Verdict:
    message = _one_line(message)
    if not asked.is_pipeline or asked.num_microbatches == 1:
        is_justified = False
    else:
        meeting = examples_meet(source.text, asked.num_microbatches)
        if fault := contradiction(step, meeting):
            return Verdict(FAULT, f"{fault}; refused with {message}", seconds)
        is_justified = meeting.with_parameters or is_decided_by_parameters(step)
    if asked.num_stages > source.num_products and re.search(r"stage|layer", message):
        is_justified = True
    return Verdict(JUSTIFIED if is_justified else UNJUSTIFIED, message, seconds)


def is_decided_by_parameters(step: RandomStep) -> bool:
    """Whether examples meet in a decision, which replacing some may not have changed."""
    pieces = [(CONSTRUCTS[piece.construct], dict(piece.options)) for piece in step.pieces]
    return any(
        each.is_rarely_visible and each.meets(options) == "with parameters"
        for each, options in pieces
    )


def contradiction(step: RandomStep, meeting: Meeting) -> str:
    """Where numbers show what no construct says: then one of both is wrong."""
    expected = expected_meeting(step)
    if meeting.with_parameters and expected != "with parameters":
        return f"examples meet with parameters, but no construct says so ({expected})"
    if meeting.in_batch_alone and expected == "no":
        return "examples meet in the batch alone, but no construct says so"
    return ""
