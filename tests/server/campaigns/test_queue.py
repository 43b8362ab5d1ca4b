"""Leases, quotas and what is hidden from whom, on a bare database of each kind."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Row, delete, insert, select, update

from mfn_server.access.roles import Person, Role
from mfn_server.campaigns import leases, managing, opinions, reading
from mfn_server.campaigns.blind import NOTHING, hidden_from
from mfn_server.campaigns.events import Change, Close, Item, Reopen
from mfn_server.campaigns.log import campaign_differences
from mfn_server.campaigns.queue import campaign_of, progress_of, ranked, standings
from mfn_server.campaigns.schemas import DeedBody, ListChoice, OpenBody, OpinionBody, SkipBody
from mfn_server.db.access_tables import Account
from mfn_server.db.campaign_tables import Campaign, CampaignItem, CampaignLease, LabelOpinion
from mfn_server.db.session import Database
from mfn_server.db.tables import LabelEvent
from mfn_server.errors import APIError
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log
from mfn_server.labels.payloads import Adjudicate, FeatureName, Propose, Retract, Undo
from mfn_server.labels.projections import differences
from tests.server.saying import MODEL, put

PEOPLE = {name: uuid.UUID(int=i) for i, name in enumerate(("ann", "bob", "cy", "dora", "vera", "rita"), start=1)}
ROLES = {"vera": Role.VIEWER, "rita": Role.REVIEWER}
ANN, BOB, CY, DORA, VERA, RITA = (
    Person(str(identity), name.title(), ROLES.get(name, Role.LABELLER), is_local=False)
    for name, identity in PEOPLE.items()
)
Place = tuple[int, int]


@pytest.fixture
def people(bare: Database) -> Database:
    """Six accounts: four labellers, a viewer and a reviewer."""
    with bare.write() as connection:
        for name, identity in PEOPLE.items():
            row = {"id": identity, "name": name.title(), "name_key": name, "role": ROLES.get(name, Role.LABELLER)}
            connection.execute(insert(Account).values(row | {"password_hash": "", "created_at": datetime.now(UTC)}))
    return bare


def begin(
    database: Database, numbers: list[int], *, opinions: int = 2, blind: bool = True, who: list[Person] | None = None
) -> uuid.UUID:
    """Opens a campaign over features of source `a`; the first is the most important."""
    identity = uuid.uuid4()
    features = ListChoice(features=[FeatureName(source="a", index=number) for number in numbers])
    body = OpenBody(
        id=identity,
        name="first",
        features=features,
        opinions=opinions,
        blind=blind,
        people=None if who is None else [person.id for person in who],
    )
    items = [Item(source="a", index=number, importance=1 - i / len(numbers)) for i, number in enumerate(numbers)]
    with database.write() as connection:
        assert managing.open_new(connection, MODEL, RITA, body, items)
    with database.write() as connection:
        assert not managing.open_new(connection, MODEL, RITA, body, items)
    return identity


def give(connection: Connection, campaign: uuid.UUID, person: Person, number: int, text: str = "ships") -> int:
    body = OpinionBody(id=uuid.uuid4(), source="a", index=number, text=text, confidence="low", tags=["sea"])
    return opinions.give_opinion(connection, MODEL, campaign, person, body)[0].stream


def given(database: Database, campaign: uuid.UUID, person: Person, number: int, text: str = "ships") -> int:
    with database.write() as connection:
        return give(connection, campaign, person, number, text)


def take(database: Database, campaign: uuid.UUID, person: Person, lease: uuid.UUID | None = None) -> Row[Any] | None:
    """Asks for the next feature, as the route does."""
    with database.snapshot() as connection:
        of = leases.open_campaign(connection, MODEL, campaign, person)
        free = ranked(connection, of, standings(connection, of), person)
    with database.write() as connection:
        return leases.take(connection, of, person, lease or uuid.uuid4(), [place for place, _ in free])


def hidden(database: Database, person: Person) -> set[Place]:
    with database.snapshot() as connection:
        every = hidden_from(connection, person)
        some = hidden_from(connection, person, [(1, 0), (1, 1), (2, 0)])
    assert some.places == every.places & {(1, 0), (1, 1), (2, 0)}
    return set(every.places)


def do(database: Database, campaign: uuid.UUID, event: Any) -> None:
    with database.write() as connection:
        version = campaign_of(connection, MODEL, campaign).version
        body = DeedBody(id=uuid.uuid4(), base_version=version, event=event)
        assert managing.do(connection, MODEL, campaign, RITA, body)
        assert not managing.do(connection, MODEL, campaign, RITA, body)


def refused(error: pytest.ExceptionInfo[APIError]) -> tuple[int, str]:
    return error.value.status, error.value.detail.code


def test_what_others_say_is_hidden_from_those_who_still_have_to_say_it(people: Database) -> None:
    with people.write() as connection:
        lock_log(connection)
        record_statements(connection, [Statement((1, 0), "atlas", {"text": "of a program"}, None)])
    campaign = begin(people, [0, 1], opinions=2, who=[ANN, BOB, CY])
    assert hidden(people, ANN) == {(1, 0), (1, 1)} == hidden(people, CY)
    for free in (DORA, RITA, VERA):  # they are not asked, or cannot be
        assert hidden(people, free) == set()
    given(people, campaign, BOB, 0)
    assert hidden(people, BOB) == {(1, 1)}
    assert hidden(people, ANN) == {(1, 0), (1, 1)}
    given(people, campaign, ANN, 0)
    assert hidden(people, ANN) == {(1, 1)}
    assert hidden(people, CY) == {(1, 1)}, "all are there: Cy can no longer give one"
    do(people, campaign, Close())
    assert hidden(people, CY) == set()
    do(people, campaign, Reopen())
    assert hidden(people, CY) == {(1, 1)}
    do(people, campaign, Change(name="renamed", people=[ANN.id, BOB.id]))
    assert hidden(people, CY) == set()
    open_to_all = begin(people, [5], blind=False)
    assert hidden(people, DORA) == set()
    begin(people, [5])
    assert hidden(people, DORA) == {(1, 5)} == hidden(people, RITA)
    assert hidden(people, VERA) == set()
    with people.snapshot() as connection:
        assert campaign_differences(connection) == []
        assert list(differences(connection)) == []
        names = {view.id: view.name for view in reading.campaign_list(connection, MODEL, RITA).items}
    assert (names[campaign], names[open_to_all]) == ("renamed", "first")


def test_tables_of_campaigns_that_are_not_what_the_log_says_are_found(people: Database) -> None:
    campaign = begin(people, [0, 1])
    with people.write() as connection:
        connection.execute(update(Campaign).values(opinions=1))
        connection.execute(delete(CampaignItem).where(CampaignItem.number == 1))
    with people.snapshot() as connection:
        found = campaign_differences(connection)
    assert [(each.campaign_id, each.table) for each in found] == [
        (campaign, "campaign"),
        (campaign, "campaign_item"),
    ]


def test_the_number_of_opinions_is_never_exceeded_however_many_give_theirs_at_once(people: Database) -> None:
    numbers = list(range(4))
    campaign = begin(people, numbers, opinions=2)
    answers: list[str] = []
    ready = threading.Barrier(4)

    def work(person: Person) -> None:
        ready.wait(timeout=60)
        for number in numbers:
            try:
                given(people, campaign, person, number, text=f"by {person.name}")
                answers.append("taken in")
            except APIError as error:
                answers.append(error.detail.code)

    threads = [threading.Thread(target=work, args=(person,)) for person in (ANN, BOB, CY, DORA)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert Counter(answers) == {"taken in": 8, "quota_full": 8}
    with people.snapshot() as connection:
        rows = connection.execute(select(LabelOpinion.number)).all()
        assert Counter(row.number for row in rows) == dict.fromkeys(numbers, 2)
        assert list(differences(connection)) == []


def test_leases_are_not_given_out_twice_by_many_at_once(people: Database) -> None:
    """One opinion of each of three features: of four who ask, one waits."""
    campaign = begin(people, [0, 1, 2], opinions=1)
    taken: list[int | None] = []
    ready = threading.Barrier(4)

    def work(person: Person) -> None:
        ready.wait(timeout=60)
        row = take(people, campaign, person)
        taken.append(None if row is None else row.number)

    threads = [threading.Thread(target=work, args=(person,)) for person in (ANN, BOB, CY, DORA)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(number for number in taken if number is not None) == [0, 1, 2]
    assert taken.count(None) == 1


def test_a_lease_holds_is_renewed_runs_out_and_loses_nobody_their_words(people: Database) -> None:
    campaign = begin(people, [0], opinions=1)
    mine = uuid.uuid4()
    row = take(people, campaign, ANN, mine)
    assert row is not None
    again = take(people, campaign, ANN, mine)
    assert again is not None
    assert (again.number, again.expires_at >= row.expires_at) == (0, True)
    assert take(people, campaign, ANN) is None, "another tab of hers gets another feature, and there is none"
    assert take(people, campaign, BOB) is None
    with people.write() as connection, pytest.raises(APIError) as error:
        leases.take(connection, campaign_of(connection, MODEL, campaign), BOB, mine, [(1, 0)])
    assert refused(error) == (403, "not_yours")
    with people.write() as connection:
        of = campaign_of(connection, MODEL, campaign)
        assert leases.renew(connection, of, ANN, mine).expires_at >= again.expires_at
        connection.execute(update(CampaignLease).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    with people.write() as connection, pytest.raises(APIError) as error:
        leases.renew(connection, campaign_of(connection, MODEL, campaign), ANN, mine)
    assert refused(error) == (409, "lease_lost")
    taken = take(people, campaign, BOB)
    assert taken is not None
    assert take(people, campaign, ANN, mine) is None, "he has it"
    with people.write() as connection:
        leases.give_back(connection, ANN, taken.id)  # not hers to give back
    assert take(people, campaign, ANN) is None
    given(people, campaign, ANN, 0)  # she was there first with her words, lease or not
    with people.write() as connection, pytest.raises(APIError) as error:
        give(connection, campaign, BOB, 0)
    assert refused(error) == (409, "quota_full")


def test_a_lease_that_ran_out_is_had_again_where_nobody_else_took_it(people: Database) -> None:
    campaign = begin(people, [0, 1], opinions=1)
    mine = uuid.uuid4()
    row = take(people, campaign, ANN, mine)
    assert row is not None
    with people.write() as connection:
        connection.execute(update(CampaignLease).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    again = take(people, campaign, ANN, mine)
    assert again is not None
    assert again.number == row.number


def test_what_was_skipped_comes_again_when_all_else_is_done(people: Database) -> None:
    campaign = begin(people, [3, 4, 5], opinions=1)
    seen = []
    for _ in range(5):
        lease = take(people, campaign, ANN)
        assert lease is not None
        seen.append(lease.number)
        with people.write() as connection:
            if len(seen) == 3:  # by now she has skipped two
                give(connection, campaign, ANN, lease.number)
            else:
                body = SkipBody(id=uuid.uuid4(), source="a", index=lease.number)
                opinions.skip(connection, MODEL, campaign, ANN, body)
    assert seen == [3, 4, 5, 3, 4]
    with people.snapshot() as connection:
        of = campaign_of(connection, MODEL, campaign)
        progress = progress_of(connection, of, ANN, NOTHING)
    assert (progress.features, progress.complete, progress.mine, progress.left_for_me) == (3, 1, 1, 2)


def test_in_an_open_campaign_what_is_disputed_comes_before_what_is_settled(people: Database) -> None:
    """In a blind one nothing but importance orders features that have as many opinions."""
    orders = []
    for blind, numbers in ((False, [0, 1]), (True, [2, 3])):
        campaign = begin(people, numbers, opinions=3, blind=blind)
        for number, texts in zip(numbers, (("ships", "ships"), ("ships", "snow")), strict=True):
            for person, text in zip((ANN, BOB), texts, strict=True):
                given(people, campaign, person, number, text)
        with people.snapshot() as connection:
            of = campaign_of(connection, MODEL, campaign)
            orders.append([place for place, _ in ranked(connection, of, standings(connection, of), CY)])
    assert orders == [[(1, 1), (1, 0)], [(1, 2), (1, 3)]]


def test_an_opinion_is_given_once_by_those_who_are_asked_and_stays(people: Database) -> None:
    campaign = begin(people, [0], opinions=2, who=[ANN, BOB])
    stream = given(people, campaign, ANN, 0)
    for person, number, expected in (
        (ANN, 0, (409, "already_given")),
        (BOB, 1, (404, "not_in_campaign")),
        (CY, 0, (403, "not_asked")),
        (VERA, 0, (403, "not_asked")),
    ):
        with people.write() as connection, pytest.raises(APIError) as error:
            give(connection, campaign, person, number)
        assert refused(error) == expected
    with people.write() as connection, pytest.raises(APIError) as error:
        put(connection, ANN, Undo(target=stream), base=stream)
    assert refused(error) == (409, "cannot_undo")
    with people.write() as connection:  # its label is hers to take back; the opinion stays given
        put(connection, ANN, Retract(target=stream), base=stream)
    with people.snapshot() as connection:
        (row,) = connection.execute(select(LabelOpinion)).all()
        assert (row.text, row.confidence, row.author_id) == ("ships", "low", ANN.id)
        assert reading.review(connection, MODEL, campaign, RITA, 0, 10).items == []
    do(people, campaign, Close())
    with people.snapshot() as connection:
        (shown,) = reading.review(connection, MODEL, campaign, RITA, 0, 10).items
        assert (shown.opinions[0].stands, shown.complete) == (False, False)
    with people.write() as connection, pytest.raises(APIError) as error:
        give(connection, campaign, BOB, 0)
    assert refused(error) == (409, "campaign_closed")


def test_review_shows_what_is_complete_the_disputed_first_and_the_decided_last(people: Database) -> None:
    campaign = begin(people, [0, 1, 2], opinions=2, who=[ANN, BOB, RITA])
    for number, texts in enumerate((("ships", "ships"), ("ships", "snow"))):
        for person, text in zip((ANN, BOB), texts, strict=True):
            given(people, campaign, person, number, text)
    given(people, campaign, ANN, 2)
    with people.snapshot() as connection:
        shown = reading.review(connection, MODEL, campaign, RITA, 0, 10)
        last = reading.review(connection, MODEL, campaign, RITA, 1, 10)
    assert [(item.index, item.disagreement, item.decided) for item in shown.items] == [(1, 1.0, False), (0, 0.0, False)]
    assert [[said.text for said in item.opinions] for item in shown.items] == [["ships", "snow"], ["ships", "ships"]]
    assert shown.items[0].opinions[0].tags == ["sea"]
    assert (shown.undecided, shown.total, [item.index for item in last.items]) == (2, 2, [0])
    with people.write() as connection:
        put(connection, RITA, Adjudicate(), feature=("a", 1), base=shown.items[0].version, reason="neither")
    with people.snapshot() as connection:
        shown = reading.review(connection, MODEL, campaign, RITA, 0, 10)
    assert [(item.index, item.decided) for item in shown.items] == [(0, False), (1, True)]
    assert shown.undecided == 1


def test_what_is_hidden_neither_contradicts_nor_can_be_meant(people: Database) -> None:
    """A stale write gets what the other said: not from where that is hidden."""
    begin(people, [0], opinions=1, who=[ANN])
    with people.write() as connection:
        theirs = put(connection, BOB, Propose(text="secret")).stream
    with people.write() as connection:
        put(connection, ANN, Propose(text="mine"), base=0)
        with pytest.raises(APIError) as error:
            put(connection, ANN, Retract(target=theirs), base=theirs)
        assert refused(error) == (404, "unknown_target")
        with pytest.raises(APIError) as error:
            put(connection, DORA, Propose(text="other"), base=0)
        assert refused(error) == (409, "stale")
        assert list(differences(connection)) == []
        assert len(connection.execute(select(LabelEvent)).all()) == 2


def test_a_campaign_needs_people_and_its_last_version(people: Database) -> None:
    features = ListChoice(features=[FeatureName(source="a", index=0)])
    for fields, expected in (
        ({"opinions": 6}, (422, "too_few_people")),  # four labellers and a reviewer
        ({"opinions": 2, "people": [ANN.id]}, (422, "too_few_people")),
        ({"opinions": 1, "people": [VERA.id]}, (422, "unknown_person")),
    ):
        body = OpenBody(id=uuid.uuid4(), name="x", features=features, **fields)
        with people.write() as connection, pytest.raises(APIError) as error:
            managing.open_new(connection, MODEL, RITA, body, [Item(source="a", index=0, importance=1)])
        assert refused(error) == expected
    campaign = begin(people, [0])
    for event, version, expected in (
        (Close(), 7, (409, "stale")),
        (Reopen(), 1, (409, "campaign_open")),
        (Change(name="x", people=[ANN.id]), 1, (422, "too_few_people")),
    ):
        deed = DeedBody(id=uuid.uuid4(), base_version=version, event=event)
        with people.write() as connection, pytest.raises(APIError) as error:
            managing.do(connection, MODEL, campaign, RITA, deed)
        assert refused(error) == expected
