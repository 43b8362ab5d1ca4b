"""What is hidden from whom: in a blind campaign, what others and programs say of a feature that one has yet to judge.

Everyone who reads labels, lists, counts, histories or the live stream asks here first. A feature is hidden from a
person as long as they take part in an open blind campaign that it is in, have not given their opinion of it there, and
could still give it. Whoever cannot label takes part in none. What one said oneself is never hidden.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select, tuple_

from mfn_server.access.roles import PERMISSIONS, Permission, Person
from mfn_server.db.campaign_tables import Campaign, CampaignItem, CampaignMember, LabelOpinion
from mfn_server.db.tables import Origin
from mfn_server.labels.log import Event, Place

_AT_ONCE = 500
_OPEN_AND_BLIND = select(Campaign.id).where(Campaign.is_blind, Campaign.closed_at.is_(None))


@dataclass(frozen=True)
class Hidden:
    """What is hidden from a person: of some features all that others said.

    Attributes:
        person_id: from whom.
        places: which features.
    """

    person_id: str = ""
    places: frozenset[Place] = frozenset()

    @property
    def name(self) -> str:
        """For caches: another one where something else is hidden; empty for nothing."""
        return f"{self.person_id} {hash(self.places)}" if self.places else ""

    def hides(self, event: Event) -> bool:
        """Whether an event is hidden."""
        own = event.author_id == self.person_id and event.origin == Origin.HUMAN
        return event.place in self.places and not own

    def seen(self, events: Iterable[Event]) -> list[Event]:
        """Those events that are not."""
        return [event for event in events if not self.hides(event)]


NOTHING = Hidden()
"""What is hidden from nobody in particular: for what only the server itself sees."""


def hidden_from(connection: Connection, person: Person, places: Collection[Place] | None = None) -> Hidden:
    """What is hidden from someone, of some features or of all. Read it in the snapshot that it is for."""
    if Permission.LABEL not in PERMISSIONS[person.role]:  # their role counts, whatever the token they come by is for
        return NOTHING
    member = select(CampaignMember.campaign_id).where(CampaignMember.person_id == person.id)
    mine = _OPEN_AND_BLIND.where(or_(Campaign.for_all, Campaign.id.in_(member)))
    campaigns = connection.scalars(mine).all()
    if not campaigns:
        return NOTHING
    of_item = (
        (LabelOpinion.campaign_id == CampaignItem.campaign_id)
        & (LabelOpinion.source_id == CampaignItem.source_id)
        & (LabelOpinion.number == CampaignItem.number)
    )
    given = select(func.count()).select_from(LabelOpinion).where(of_item).correlate(CampaignItem).scalar_subquery()
    by_me = select(LabelOpinion.stream).where(of_item, LabelOpinion.author_id == person.id).correlate(CampaignItem)
    left = (
        select(CampaignItem.source_id, CampaignItem.number)
        .join(Campaign, Campaign.id == CampaignItem.campaign_id)
        .where(CampaignItem.campaign_id.in_(campaigns), given < Campaign.opinions, ~by_me.exists())
    )
    found: set[Place] = set()
    if places is None:
        found.update((source_id, number) for source_id, number in connection.execute(left))
    else:
        asked = sorted(set(places))
        for begin in range(0, len(asked), _AT_ONCE):
            these = tuple_(CampaignItem.source_id, CampaignItem.number).in_(asked[begin : begin + _AT_ONCE])
            found.update((source_id, number) for source_id, number in connection.execute(left.where(these)))
    return Hidden(person.id, frozenset(found)) if found else NOTHING
