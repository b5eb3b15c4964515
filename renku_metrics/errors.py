"""The errors a person meets: one clear line that says where, what, and what to do."""

import click


class RenkuMetricsError(click.ClickException):
    """A failure whose message is enough to act on, without a traceback.

    Commands made with click print it as one line. Dagster's own commands print it so too, because they use click.
    """


class ConfigurationError(RenkuMetricsError):
    """A deployment file or an environment variable is missing or wrong."""


class SourceError(RenkuMetricsError):
    """A source refused, or gave an answer that makes no sense. The pull stopped there."""


class StoreError(RenkuMetricsError):
    """The store cannot be read or written."""


class NotConservedError(RenkuMetricsError):
    """A raw row is neither an event nor dropped for a reason, or an event comes from no raw row."""
