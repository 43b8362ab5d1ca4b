"""What the sections of a config have in common when they check themselves."""

from __future__ import annotations

from mfn_core.errors import ConfigError


def require(holds: bool, message: str) -> None:
    """Raises ConfigError with that message unless the condition holds."""
    if not holds:
        raise ConfigError(message)


def require_positive(section: object, *names: str) -> None:
    """Raises ConfigError unless these settings are above 0."""
    for name in names:
        value = getattr(section, name)
        require(value > 0, f"{name} must be positive, not {value}")
