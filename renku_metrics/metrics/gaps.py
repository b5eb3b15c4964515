"""What the numbers do not know, if it concerns more than one metric.

A comment above a gap names the fact behind it in docs/sources/.
"""

from __future__ import annotations

from renku_metrics.events.cleaning import NAMELESS_AT_MOST
from renku_metrics.metrics.definition import Gap

HISTORIES = "seven public projects of RenkuLab (1,065 commits, 2021 to 2024)"

TWO_ACCOUNTS = Gap("A person with two accounts is two users.", "over")
ACCOUNT_ANEW = Gap(
    "If a person gets a new Keycloak account, their past logins and sessions keep the old one. All their commits count "
    "for the new one, as soon as GitLab names it. So the person is two users of each past period that has both.",
    "over",
)
SPAM = Gap("Spam users count like any other.", "over")
UNKNOWN_ADDRESS = Gap(
    "An author whose address neither GitLab nor Keycloak knows counts as a separate user, "
    "even if the same person also counts under an account.",
    "over",
    "published in every row: column unlinked",
)
OUTSIDERS = Gap(
    "If somebody pushes commits of another author, in a merge or an update from elsewhere, that author is a user, "
    "even if they never used the deployment.",
    "over",
    f"2 of 20 authors have commits made on GitHub, 33 in all, in {HISTORIES}",
)
# docs/sources/renku-commits.md#default-addresses-are-shared
SHARED_ADDRESS = Gap(
    "A commit under a shared or default address counts for nobody if no push says whose it is.",
    "under",
    "counted for each month: nobody, in the metadata linked of events",
)
NOT_PUSHED = Gap("Commits that never leave a person's own machine are not seen.", "under")
# docs/sources/gitlab.md#forks-and-imports-hold-the-same-commits
BEFORE_PROJECT = Gap(
    "Commits that a person made before the project existed are taken for imported history.",
    "under",
    "3% of commits (33, all in one project) are older than the commit that made the project a Renku project, "
    f"in {HISTORIES}",
)
DELETED_PROJECT = Gap("If a project was deleted before a pull saw its commits, they are lost.", "under")
OTHER_HOST = Gap(
    "Code of Renku 2.0 on GitHub, GitLab.com or another host is not pulled, so commits to it are not seen.", "under"
)
# docs/sources/gitlab.md#push-events-are-forgotten
FORGOTTEN_PUSHES = Gap(
    "GitLab forgets push events after one to three years. A commit that only a push could link then counts for the "
    "hash of its address, or for nobody if the address is shared.",
    "either",
)
LOST_BRANCH = Gap("Commits are not seen if their branch was made and deleted between two pulls.", "under")
# docs/sources/gitlab.md#commit-dates-are-the-clients
OWN_CLOCK = Gap(
    "A commit has the date of the clock of the machine that made it, so it may count in another period.", "either"
)
# docs/sources/renku-commits.md#a-squash-merge-hides-commands
SQUASH = Gap("A squash merge hides the messages of the commits that it holds.", "under")
# docs/sources/renku-commits.md#a-rebase-replaces-the-committer
MESSAGE_EDITED = Gap(
    "A commit is not recognised if its message was rewritten. Nor is it if it was made in the browser on another "
    "deployment and its committer is no longer renku.",
    "under",
    "6 of 186 messages of renku have another committer: one `renku save` and five helper commits, which are made so. "
    f"None of the 92 that created a dataset or ran a workflow has one. All in {HISTORIES}",
)
# docs/sources/renku-commits.md#messages-are-wrapped-at-100-characters
MESSAGE_CUT = Gap(
    "Before 1.0 renku cut messages at 100 characters. A `dataset add` is not recognised if its --create came later.",
    "under",
    f"2 of 19 messages of `dataset add` are cut, in {HISTORIES}",
)
# docs/sources/renku-commits.md#a-rebase-replaces-the-committer
OWN_MESSAGE = Gap(
    "A message that a person wrote counts as a command of renku if it reads like one (`renku update to version 0.16`). "
    "The committer is not checked, because a commit of renku may have another one.",
    "over",
    f"none of the 885 commits that renku did not make, in {HISTORIES}",
)
# docs/sources/keycloak.md#keycloak-forgets-logins-after-a-day
FORGOTTEN_LOGINS = Gap(
    "Keycloak forgets logins, by default after a day. What it forgot before the first pull is lost. "
    "The column missing names the days without logins.",
    "under",
)
# docs/sources/keycloak.md#a-login-is-not-a-visit
LONG_SSO_SESSION = Gap(
    "A person is not seen if they logged in before the period, are still logged in, and neither commit nor start a "
    "session.",
    "under",
)
# docs/sources/keycloak.md#saving-can-be-off-or-without-login
SAVING_OFF = Gap(
    "Each pull asks whether Keycloak saves events. Nobody sees it if Keycloak stopped for a while between two pulls, "
    "or between the oldest login that it knew at the first pull and that pull. Those days count as covered.",
    "under",
)
# docs/sources/amalthea.md#a-killed-operator-loses-a-file
LOST_AUDIT_LOG = Gap("If Amalthea's operator is killed, up to a day of its audit log is lost.", "under")
# docs/sources/amalthea.md#a-file-ends-where-the-next-begins
AUDIT_LOG_GONE = Gap(
    "A file of the audit log says when it begins but not when it ends, and idle days have no file. So if files left "
    "the bucket before they were read, their days count as covered if an older file was still there.",
    "under",
)
# docs/sources/amalthea.md#no-label-by-default
NO_SESSION_LABEL = Gap(
    "Sessions count for nobody unless Amalthea's audit log has the label renku.io/userId. The column missing names the "
    f"days on which more than {NAMELESS_AT_MOST:.0%} of the sessions lack it; sessions of anonymous visitors are left "
    "out of that share.",
    "under",
)
# docs/sources/amalthea.md#sessions-of-renku-2
RENKU_2_SESSIONS = Gap(
    "Sessions of Renku 2.0 are not seen, because Amalthea's AmaltheaSession writes no audit log.", "under"
)
# docs/sources/amalthea.md#local-sessions
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
OF_MESSAGES = (SQUASH, MESSAGE_EDITED, OWN_MESSAGE)
OF_SESSIONS = (LOCAL_SESSION, LOST_AUDIT_LOG, AUDIT_LOG_GONE, NO_SESSION_LABEL, RENKU_2_SESSIONS)
OF_LOGINS = (FORGOTTEN_LOGINS, SAVING_OFF, LONG_SSO_SESSION)
