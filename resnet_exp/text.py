"""Numbers and tables as a reader sees them, on a terminal and in sentences."""

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], *, words: Collection[int]) -> list[str]:
    """A line for each row, all columns as wide as their widest cell: to the left in those of `words`, else to the
    right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def counted(number: int, unit: str) -> str:
    """`1 seed`, `16,000 steps`"""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def span(values: Sequence[int], unit: str) -> str:
    """Of rising numbers: `3 seeds`, `1 to 3 seeds`."""
    most = counted(values[-1], unit)
    return most if values[0] == values[-1] else f"{values[0]:,} to {most}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `5 days`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 60 / 24:.0f} days"


def size(count: int) -> str:
    """Of bytes: `640 kB`, `3.1 MB`, `200 GB`."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.2g} {units[0]}" if value < 99.5 else f"{value:.0f} {units[0]}"
