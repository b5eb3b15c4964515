"""A believable RenkuLab: people who log in, commit and run sessions, and all that counts for nobody."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from renkulab import renku_messages
from renkulab.agenda import Agenda
from renkulab.amalthea import Session
from renkulab.git import Commit, Identity, Repository
from renkulab.gitlab import Project, User, Visibility
from renkulab.people import Person, settle
from renkulab.server import RenkuLab
from renkulab.truth import Action, Ledger

SECOND, MINUTE, HOUR, DAY = (dt.timedelta(seconds=seconds) for seconds in (1, 60, 3600, 86400))


@dataclass(frozen=True)
class _Workplace:
    project: Project
    repository: Repository
    members: list[Person]


class Population:
    """People and projects of a deployment. They begin at the time of its clock; ``live`` makes the days go by.

    ``ledger`` holds what they did, as far as the deployment shows it at the time of its clock.
    """

    def __init__(self, lab: RenkuLab, *, seed: int = 1, people: int = 24, projects: int = 12) -> None:
        self.lab = lab
        self.ledger = Ledger()
        self._chance = random.Random(seed)
        self._agenda = Agenda()
        # What an active person does on a day, and how often.
        self._habits: dict[Callable[[Person, dt.datetime], None], int] = {
            self._act_in_ui: 15,
            self._use_terminal: 40,
            self._commit_plainly: 25,
            self._run_session: 30,
            self._take_patch: 4,
        }
        born = lab.clock.now()
        self.people = [settle(lab, number, born) for number in range(1, people + 1)]
        self._workplaces: list[_Workplace] = []
        self._found(projects, born)
        self._agenda.at(born, self._begin_day)
        self._agenda.at(born + 30 * DAY, self._disable_leavers)

    def live(self, until: dt.datetime) -> None:
        """Lets everybody live until then and sets the clock to it. Many calls do the same as one.

        A commit that is not pushed until then comes with a later call.
        """
        self._agenda.run(until)
        self.lab.clock.set(until)

    # Plans

    def _begin_day(self, at: dt.datetime) -> None:
        for person in self.people:
            self._plan_day(person, at)
        for _ in range(self._chance.randint(0, 2)):
            self._agenda.at(self._some_time(at), self._visit_anonymously)
        self._agenda.at(at + DAY, self._begin_day)

    def _disable_leavers(self, at: dt.datetime) -> None:
        for person in self.people:
            if person.kind == "leaver" and person.login:
                person.login.enabled = False

    def _some_time(self, day: dt.datetime) -> dt.datetime:
        return day + self._chance.randrange(86_390) * SECOND

    def _plan_day(self, person: Person, day: dt.datetime) -> None:
        if self._chance.random() > (0.3 if day.weekday() < 5 else 0.08):
            return
        # Some are still logged in from an earlier day.
        if person.login and self._chance.random() < 0.85:
            self._agenda.at(self._some_time(day), partial(self._log_in, person))
        if person.kind == "visitor":
            return
        for deed in self._chance.choices(list(self._habits), list(self._habits.values()), k=self._chance.randint(0, 3)):
            self._agenda.at(self._some_time(day), partial(deed, person))

    # Projects

    def _found(self, count: int, born: dt.datetime) -> None:
        makers = [person for person in self.people if person.account and person.login]
        group = self.lab.gitlab.add_group("group-0001")
        visibilities: tuple[Visibility, ...] = ("public", "private", "internal")
        for number in range(1, count + 1):
            maker = makers[number % len(makers)]
            assert maker.account is not None
            home = group if number % 3 == 0 else self.lab.gitlab.personal_namespace(maker.account)
            visibility = visibilities[number % 3]
            name, at = f"project-{number:04}", born + number * MINUTE
            if number % 7 == 5:
                # Created and never pushed to.
                self.lab.gitlab.create_project(name, home, maker.account, at, visibility=visibility)
                continue
            imported = self._old_history(at) if number % 7 == 3 else None
            project = self.lab.gitlab.create_project(
                name, home, maker.account, at, visibility=visibility, repository=imported or Repository()
            )
            if number % 7 == 6:
                project.repository_enabled = False
                continue
            place = self._move_in(project, maker)
            if imported is None:
                self._agenda.at(at + 20 * SECOND, partial(self._init, maker, place))
            if number % 4 == 1:
                bot = self.lab.gitlab.add_project_bot(project, self.lab.noreply_host, at)
                for day in range(3, 60, 9):
                    self._agenda.at(at + day * DAY, partial(self._robot, bot, place))
            if number % 4 == 2:
                self._agenda.at(at + 10 * DAY, partial(self._fork, place))

    def _move_in(self, project: Project, maker: Person) -> _Workplace:
        working = [person for person in self.people if person.account]
        others = self._chance.sample(working, min(len(working), self._chance.randint(2, 6)))
        assert project.repository is not None
        place = _Workplace(project, project.repository, [maker, *(p for p in others if p is not maker)])
        self._workplaces.append(place)
        return place

    def _old_history(self, created_at: dt.datetime) -> Repository:
        repository = Repository()
        for number in range(30):
            author = Identity("stranger", f"stranger-{number % 3}@elsewhere.example")
            at = created_at - (400 - 13 * number) * DAY
            message = renku_messages.cli(f"renku dataset create old-{number}", self._agenda.number())
            repository.commit(message, author, at, branch="master", committer=renku_messages.RENKU)
        return repository

    def _init(self, maker: Person, place: _Workplace, at: dt.datetime) -> None:
        message = renku_messages.ui(self.lab.domain, f"init {place.project.path}", self._agenda.number())
        commit = place.repository.commit(
            message, maker.profile, at.astimezone(maker.zone), committer=renku_messages.RENKU, parents=[]
        )
        self._push(maker, place, "master", commit, at + SECOND)
        self.ledger.note(maker.identity, "commit", at, place.project.id)

    def _fork(self, place: _Workplace, at: dt.datetime) -> None:
        forker = self._chance.choice([person for person in self.people if person.account and person.login])
        assert forker.account is not None
        home = self.lab.gitlab.personal_namespace(forker.account)
        self._move_in(self.lab.gitlab.fork(place.project, home, forker.account, at), forker)

    # Deeds

    def _log_in(self, person: Person, at: dt.datetime) -> None:
        if person.login:
            if self._chance.random() < 0.1:
                self.lab.keycloak.fail_to_log_in(person.login, at - SECOND)
            for moment in self.lab.keycloak.log_in(person.login, at):
                self.ledger.note(person.identity, "login", moment)

    def _place_of(self, person: Person, at: dt.datetime) -> _Workplace | None:
        places = [
            place
            for place in self._workplaces
            if person in place.members and place.project.created_at < at and "master" in place.repository.branches
        ]
        return self._chance.choice(places) if places else None

    def _act_in_ui(self, person: Person, at: dt.datetime) -> None:
        place = self._place_of(person, at)
        if place is None or person.login is None:
            return
        what, action, _ = self._weighted(renku_messages.UI_ACTIONS)
        message = renku_messages.ui(self.lab.domain, what.format(n=self._agenda.number()), self._agenda.number())
        head = place.repository.branches["master"]
        commit = place.repository.commit(
            message, person.profile, at.astimezone(person.zone), committer=renku_messages.RENKU, parents=[head]
        )
        self._push(person, place, "master", commit, at + SECOND)
        self.ledger.note(person.identity, action, at, place.project.id)

    def _use_terminal(self, person: Person, at: dt.datetime) -> None:
        place = self._place_of(person, at)
        if place is None:
            return
        command, action, _ = self._weighted(renku_messages.CLI_COMMANDS)
        branch = "master" if self._chance.random() < 0.8 else f"feature-{self._agenda.number()}"
        head, when = place.repository.branches["master"], at.astimezone(person.zone)
        done: list[tuple[Action, dt.datetime]] = []
        if command.startswith("renku dataset add") and self._chance.random() < 0.5:
            helper = "renku dataset: committing 1 newly added files\n"
            head = place.repository.commit(helper, person.terminal, when, parents=[head]).sha
            done.append(("commit", at))
        message = renku_messages.cli(command.format(n=self._agenda.number()), self._agenda.number())
        commit = place.repository.commit(message, person.terminal, when, committer=renku_messages.RENKU, parents=[head])
        done.append((action, at))
        self._push_later(person, place, branch, commit, done)

    def _commit_plainly(self, person: Person, at: dt.datetime) -> None:
        place = self._place_of(person, at)
        if place is None:
            return
        head, message = place.repository.branches["master"], self._chance.choice(renku_messages.PLAIN_MESSAGES)
        commit = place.repository.commit(message, person.terminal, at.astimezone(person.zone), parents=[head])
        self._push_later(person, place, "master", commit, [("commit", at)])

    def _take_patch(self, person: Person, at: dt.datetime) -> None:
        """Somebody pushes a commit of an outsider, who has no account."""
        place = self._place_of(person, at)
        if place is None or person.login is None:
            return
        address = f"outsider-{self._chance.randint(1, 3)}@elsewhere.example"
        head = place.repository.branches["master"]
        patch = place.repository.commit("Improve it\n", Identity("outsider", address), at, parents=[head])
        merge = place.repository.commit(
            "Merge the patch\n", person.profile, (at + MINUTE).astimezone(person.zone), parents=[head, patch.sha]
        )
        self._push(person, place, "master", merge, at + 2 * MINUTE)
        self.ledger.note(f"address:{address}", "commit", at, place.project.id)
        self.ledger.note(person.identity, "commit", at + MINUTE, place.project.id)

    def _robot(self, bot: User, place: _Workplace, at: dt.datetime) -> None:
        if "master" in place.repository.branches:
            author = Identity(bot.username, bot.email)
            head = place.repository.branches["master"]
            commit = place.repository.commit("Update the image\n", author, at, parents=[head])
            self.lab.gitlab.push(place.project, bot, {"master": commit.sha}, at + SECOND)

    def _weighted(self, choices: tuple[tuple[str, Action, int], ...]) -> tuple[str, Action, int]:
        return self._chance.choices(choices, [weight for _, _, weight in choices])[0]

    # Pushes

    def _push_later(
        self, person: Person, place: _Workplace, branch: str, commit: Commit, done: list[tuple[Action, dt.datetime]]
    ) -> None:
        """Pushes after minutes or, now and then, days. If the branch has moved in between, it is merged first."""

        def push(at: dt.datetime) -> None:
            tip, head = commit, place.repository.branches.get(branch)
            if head is not None and head not in place.repository.reachable([commit.sha]):
                message = f"Merge branch '{branch}'\n"
                tip = place.repository.commit(
                    message, person.terminal, at.astimezone(person.zone), parents=[commit.sha, head]
                )
                done.append(("commit", at))
            self._push(person, place, branch, tip, at + SECOND)
            for action, when in done:
                self.ledger.note(person.cli_identity, action, when, place.project.id)

        late = self._chance.random() < 0.1
        delay = self._chance.randint(1, 4) * DAY if late else self._chance.randint(1, 50) * MINUTE
        self._agenda.at(done[-1][1] + delay, push)

    def _push(self, person: Person, place: _Workplace, branch: str, commit: Commit, at: dt.datetime) -> None:
        assert person.account is not None
        quiet = commit.author.email == person.cli_address and person.kind == "unconfirmed"
        self.lab.gitlab.push(place.project, person.account, {branch: commit.sha}, at, quiet=quiet)

    # Sessions

    def _run_session(self, person: Person, at: dt.datetime) -> None:
        place = self._place_of(person, at)
        if place is None or person.login is None:
            return
        lost = self._chance.random() < 0.05
        session = self.lab.amalthea.start_session(
            at, user_id=person.login.id, gitlab_project_id=place.project.id, lost=lost
        )
        self.ledger.note(person.identity, "session_started", at, place.project.id)
        if self._chance.random() < 0.3:
            self._agenda.at(at + 3 * HOUR, partial(self._pause, person, place, session))
        else:
            self._agenda.at(at + 2 * HOUR, partial(self._stop, person, place, session))

    def _pause(self, person: Person, place: _Workplace, session: Session, at: dt.datetime) -> None:
        self.lab.amalthea.change(session, "hibernated", at, times=self._chance.randint(1, 2))
        self._agenda.at(at + self._chance.randint(1, 30) * HOUR, partial(self._resume, person, place, session))

    def _resume(self, person: Person, place: _Workplace, session: Session, at: dt.datetime) -> None:
        self.lab.amalthea.change(session, "starting", at)
        self.lab.amalthea.change(session, "running", at + MINUTE)
        self.ledger.note(person.identity, "session_resumed", at, place.project.id)
        self._agenda.at(at + HOUR, partial(self._stop, person, place, session))

    def _stop(self, person: Person, place: _Workplace, session: Session, at: dt.datetime) -> None:
        self.lab.amalthea.change(session, "stopping", at)
        if self._chance.random() < 0.3 and person.account is not None:
            head = place.repository.branches["master"]
            branch, message = renku_messages.autosave(person.name, "master", head)
            commit = place.repository.commit(message, person.profile, at.astimezone(person.zone), parents=[head])
            self.lab.gitlab.push(place.project, person.account, {branch: commit.sha}, at + SECOND)

    def _visit_anonymously(self, at: dt.datetime) -> None:
        session = self.lab.amalthea.start_session(at)
        self._agenda.at(at + HOUR, lambda at: self.lab.amalthea.change(session, "stopping", at))
