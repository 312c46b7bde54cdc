"""Every error egoscope raises. A message says where and why, never what: content does not appear in it."""


class EgoscopeError(Exception):
    """Base of all errors egoscope raises on purpose; its text is fit to be shown to a user."""


class ConfigError(EgoscopeError):
    """A setting or a policy is unusable; the text names the option or file and what would be right."""


class SourceError(EgoscopeError):
    """A source cannot be read: permission, disappearance, a damaged database."""


class StateError(EgoscopeError):
    """The state file or the key cannot be used; the text says what to do. Nothing is overwritten."""


class DeliveryError(EgoscopeError):
    """A request could not be made or sent for a reason that a retry will not cure."""


class RecordError(EgoscopeError):
    """A record is unusable; the text says which kind of thing is wrong with it, never what it holds."""


class NotConnectedError(EgoscopeError):
    """Something was recorded before `connect` or after `close`."""


class QueryError(EgoscopeError):
    """What was asked cannot be answered just now: a store that is locked, a server that does not answer."""
