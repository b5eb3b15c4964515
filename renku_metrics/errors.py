"""The errors a person meets: one clear line that says where, what, and what to do."""

import click


class RenkuMetricsError(click.ClickException):
    """A failure that its message explains; no traceback is needed to act on it.

    Commands made with click, dagster's among them, print it as one line.
    """


class ConfigurationError(RenkuMetricsError):
    """A deployment file or an environment variable is missing or wrong."""


class SourceError(RenkuMetricsError):
    """A source refused, or could not be understood; the pull stopped there."""


class StoreError(RenkuMetricsError):
    """The store cannot be read or written."""


class NotConservedError(RenkuMetricsError):
    """A raw row became neither an event nor was it dropped for a reason, or an event came from nowhere."""
