"""What the numbers do not know, where it concerns more than one metric. Sources: the pitch; facts, sections 1 to 5."""

from __future__ import annotations

from renku_metrics.metrics.definition import Gap

TWO_ACCOUNTS = Gap("A person with two accounts is two users.", "over")
SPAM = Gap("Spam users count like any other.", "over")
UNLINKED = Gap(
    "An author whose address is unknown to GitLab and Keycloak counts as a user of their own, "
    "even if the same person also counts under an account.",
    "over",
    "published with every row: column unlinked",
)
NOBODY = Gap("A commit under a shared or default address that no push explains counts for nobody.", "under")
NOT_PUSHED = Gap("Commits that never leave a person's own machine are not seen.", "under")
BEFORE_PROJECT = Gap("Commits made at home before the project existed pass for imported history.", "under")
LOST_BRANCH = Gap("Commits on a branch that came and went between two pulls are not seen.", "under")
OWN_CLOCK = Gap(
    "A commit is dated by the clock of the machine that made it, so it may count in another period.", "either"
)
SQUASH = Gap("A squash merge hides the messages of the commits that it holds.", "under")
MESSAGE_EDITED = Gap("A commit whose message was rewritten is not recognised.", "under")
FORGOTTEN_LOGINS = Gap(
    "Keycloak forgets logins (after a day by default); what it forgot before the first pull is lost. "
    "Days without logins are named in the column missing.",
    "under",
)
LONG_SSO_SESSION = Gap(
    "Somebody who works on a login older than the period, and neither commits nor starts a session, is not seen.",
    "under",
)
LOST_AUDIT_LOG = Gap("An operator that is killed loses up to a day of the sessions' audit log.", "under")
NO_SESSION_LABEL = Gap(
    "Sessions count for nobody unless Amalthea's audit log carries the label renku.io/userId.",
    "under",
)
LOCAL_SESSION = Gap("`renku session start` on a person's own machine leaves no trace.", "under")

OF_EVERYBODY = (TWO_ACCOUNTS, SPAM)
OF_COMMITS = (UNLINKED, NOBODY, NOT_PUSHED, BEFORE_PROJECT, LOST_BRANCH, OWN_CLOCK)
OF_SESSIONS = (LOCAL_SESSION, LOST_AUDIT_LOG, NO_SESSION_LABEL)
OF_LOGINS = (FORGOTTEN_LOGINS, LONG_SSO_SESSION)
