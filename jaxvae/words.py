"""Text that comes from elsewhere (names from data, paths, what JSON says), fit for where it is shown. Knows no room.

Pages escape for themselves (html.escape), figures in report.style.
"""


def printable(text: object) -> str:
    """Return a text on which a terminal does nothing but show it: control characters and the like as \\x1b or \\n."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in str(text))


def printable_lines(text: object) -> str:
    """Return a text of several lines, each of them printable."""
    return "\n".join(map(printable, str(text).split("\n")))


def one_line(text: object) -> str:
    """Return a message on one line, printable."""
    return printable(" ".join(str(text).split()))


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell of a table begins with that spreadsheets run."""


def cell(value: object) -> object:
    """Return a cell of a CSV file that no spreadsheet takes for a formula: before text that looks like one stands a '.

    Numbers stay as they are, and so does text that is one, such as -1.
    """
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
