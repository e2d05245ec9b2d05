"""Quantities as people read them."""


def format_seconds(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 0.9995:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def format_bytes(count: float) -> str:
    """Three digits and a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:  # what would be rounded to four digits has the next unit
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def format_share(part: float, whole: float) -> str:
    """In per cent; nothing of nothing."""
    return f"{part / whole if whole else 0:.1%}"


def format_range(numbers: range) -> str:
    """The first and the last, or the only one."""
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])


def format_numbered(what: str, numbers: range) -> str:
    """`layer 3`, `layers 3 to 5`."""
    return f"{what}{'s' if len(numbers) > 1 else ''} {format_range(numbers)}"
