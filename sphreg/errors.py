"""What a user can mend."""


class UserError(ValueError):
    """An input or a setting is wrong. The message is one sentence: what is wrong, where, and what is allowed."""


def printable(text: str) -> str:
    """The text with escapes for what a terminal would obey or cannot show, as the name of a file may hold it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
