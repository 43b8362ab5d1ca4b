"""Errors that are the caller's to mend: each message is one clear line that says what to do."""


class MFNError(ValueError):
    """Base of every error that a user can cause. Its text is fit to be shown as it is."""


class BundleError(MFNError):
    """A model folder is missing, incomplete, or does not hold what its config says."""


class ConfigError(MFNError):
    """A setting is unknown or out of range."""


class CorpusError(MFNError):
    """A corpus cannot be found or read."""


class InterventionError(MFNError):
    """An intervention names something that is not there, or a value that cannot be used."""


class UnknownFamilyError(MFNError):
    """The model's family has no adapter that says where its blocks can be opened."""
