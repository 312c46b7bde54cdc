"""What the examples raise. Every message names what to do; none quotes what a model or a user wrote."""

from __future__ import annotations


class ExampleError(Exception):
    """Anything that is wrong with an example's input, settings or files."""


class ModelError(ExampleError):
    """A provider did not answer, or not in the form that was asked for."""


class PatchError(ExampleError):
    """A diff that cannot be applied."""


class WriteError(ExampleError):
    """A change that the system does not let into the workspace."""


class CommandError(ExampleError):
    """A command that is not allowed."""


class TimeLimitError(ExampleError, TimeoutError):
    """A node took longer than its policy allows."""


TimeLimitError.__name__ = "TimeoutError"
"""What traces tell of it: of names of exceptions only well-known ones leave the machine."""


class DeliveryError(ExampleError):
    """A ticket that could not be handed over."""
