"""Who did what on which day, where: all that counting needs."""

from __future__ import annotations

import pandas as pd

from renku_metrics.tables import USER_DAYS


def user_days(events: pd.DataFrame) -> pd.DataFrame:
    """The distinct rows of USER_DAYS in a frame of EVENTS; events without a user are left out."""
    columns = [column.name for column in USER_DAYS.columns]
    return USER_DAYS.conform(events.loc[events["user_id"].notna(), columns].drop_duplicates())
