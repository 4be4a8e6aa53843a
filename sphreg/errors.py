"""What a user can mend."""


class UserError(ValueError):
    """An input or a setting is wrong. The message is one sentence: what is wrong, where, and what is allowed."""
