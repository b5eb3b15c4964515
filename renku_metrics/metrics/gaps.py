"""What the numbers do not know, where it concerns more than one metric.

The facts behind them are in docs/sources/.
"""

from __future__ import annotations

from renku_metrics.events.cleaning import NAMELESS_AT_MOST
from renku_metrics.metrics.definition import Gap

HISTORIES = "seven public projects of RenkuLab, 1,065 commits, 2021 to 2024"

TWO_ACCOUNTS = Gap("A person with two accounts is two users.", "over")
ACCOUNT_ANEW = Gap(
    "Somebody whose Keycloak account was made anew: once GitLab names the new one, all their commits count for it, "
    "while past logins and sessions keep the old one. So the person is two users of each past period that has both.",
    "over",
)
SPAM = Gap("Spam users count like any other.", "over")
UNKNOWN_ADDRESS = Gap(
    "An author whose address is unknown to GitLab and Keycloak counts as a user of their own, "
    "even if the same person also counts under an account.",
    "over",
    "published with every row: column unlinked",
)
OUTSIDERS = Gap(
    "The author of a commit that somebody else pushes later, in a merge or an update from elsewhere, is a user, "
    "also without ever having been on the deployment.",
    "over",
    f"2 of 20 authors have commits made on GitHub, 33 in all: {HISTORIES}",
)
SHARED_ADDRESS = Gap(
    "A commit under a shared or default address that no push explains counts for nobody.",
    "under",
    "counted for each day: nobody, in the metadata linked of events",
)
NOT_PUSHED = Gap("Commits that never leave a person's own machine are not seen.", "under")
BEFORE_PROJECT = Gap(
    "Commits made at home before the project existed pass for imported history.",
    "under",
    f"3% of commits (33, all in one project) are older than the one that made the project one of Renku's: {HISTORIES}",
)
DELETED_PROJECT = Gap("Commits of a project that was deleted before a pull saw them are lost.", "under")
OTHER_HOST = Gap(
    "Code that Renku 2.0 keeps on GitHub, GitLab.com or another host is not pulled, nor who commits to it.", "under"
)
FORGOTTEN_PUSHES = Gap(
    "GitLab forgets push events after one to three years. Commits that only a push would link count for the hash of "
    "their address, or for nobody where that is shared.",
    "either",
)
LOST_BRANCH = Gap("Commits on a branch that came and went between two pulls are not seen.", "under")
OWN_CLOCK = Gap(
    "A commit is dated by the clock of the machine that made it, so it may count in another period.", "either"
)
SQUASH = Gap("A squash merge hides the messages of the commits that it holds.", "under")
MESSAGE_EDITED = Gap(
    "A commit whose message was rewritten is not recognised, nor one made in the browser on another deployment whose "
    "committer is no longer renku.",
    "under",
    "6 of 186 messages of renku have another committer: one `renku save` and five helper commits, which are made so, "
    f"and none of the 92 that created a dataset or ran a workflow: {HISTORIES}",
)
MESSAGE_CUT = Gap(
    "renku before 1.0 cut messages at 100 characters: a `dataset add` whose --create came later is not recognised.",
    "under",
    f"2 of 19 messages of `dataset add` are cut: {HISTORIES}",
)
OWN_MESSAGE = Gap(
    "A person's own message that reads like a command of renku (`renku update to version 0.16`) counts as one, since "
    "a commit may have lost renku as committer.",
    "over",
    f"none of the 885 commits that renku did not make: {HISTORIES}",
)
FORGOTTEN_LOGINS = Gap(
    "Keycloak forgets logins (after a day by default); what it forgot before the first pull is lost. "
    "Days without logins are named in the column missing.",
    "under",
)
LONG_SSO_SESSION = Gap(
    "Somebody who works on a login older than the period, and neither commits nor starts a session, is not seen.",
    "under",
)
SAVING_OFF = Gap(
    "Whether Keycloak saved events all the time is asked at each pull. That it did not for a while between two pulls, "
    "or after the oldest login it knew at the first one, is not seen; those days pass for covered.",
    "under",
)
LOST_AUDIT_LOG = Gap("An operator that is killed loses up to a day of the sessions' audit log.", "under")
AUDIT_LOG_GONE = Gap(
    "A file of the audit log tells when it begins and not when it ends, and idle days have none. So days whose files "
    "left the bucket before they were read pass for covered if an older file was still there.",
    "under",
)
NO_SESSION_LABEL = Gap(
    "Sessions count for nobody unless Amalthea's audit log carries the label renku.io/userId. "
    f"Days on which more than {NAMELESS_AT_MOST:.0%} of the sessions of no visitor lack it are named in the column "
    "missing.",
    "under",
)
RENKU_2_SESSIONS = Gap(
    "Sessions of Renku 2.0 that Amalthea's AmaltheaSession runs write no audit log and are not seen.", "under"
)
LOCAL_SESSION = Gap("`renku session start` on a person's own machine leaves no trace.", "under")

OF_EVERYBODY = (TWO_ACCOUNTS, ACCOUNT_ANEW, SPAM)
OF_COMMITS = (
    UNKNOWN_ADDRESS,
    OUTSIDERS,
    SHARED_ADDRESS,
    FORGOTTEN_PUSHES,
    NOT_PUSHED,
    BEFORE_PROJECT,
    LOST_BRANCH,
    DELETED_PROJECT,
    OTHER_HOST,
    OWN_CLOCK,
)
OF_MESSAGES = (SQUASH, MESSAGE_EDITED, MESSAGE_CUT, OWN_MESSAGE)
OF_SESSIONS = (LOCAL_SESSION, LOST_AUDIT_LOG, AUDIT_LOG_GONE, NO_SESSION_LABEL, RENKU_2_SESSIONS)
OF_LOGINS = (FORGOTTEN_LOGINS, SAVING_OFF, LONG_SSO_SESSION)
