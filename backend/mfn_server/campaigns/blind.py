"""What is hidden from whom: in a blind campaign, what others and programs say of a feature that one has yet to judge.

Everyone who reads labels, lists, counts, histories or the live stream asks here first. A feature is hidden from a
person as long as they take part in an open blind campaign that it is in, have not given their opinion of it there, and
could still give it. Whoever cannot label takes part in none. What one said oneself is never hidden.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, or_, select, tuple_

from mfn_server.access.roles import PERMISSIONS, Permission, Person
from mfn_server.db.campaign_tables import Campaign, CampaignItem, CampaignMember, LabelOpinion
from mfn_server.db.tables import Origin
from mfn_server.labels.log import Event, Place

_AT_ONCE = 500

# made once: putting them together takes longer than asking them
_MINE = select(Campaign.id).where(
    Campaign.is_blind,
    Campaign.closed_at.is_(None),
    or_(
        Campaign.for_all,
        Campaign.id.in_(select(CampaignMember.campaign_id).where(CampaignMember.person_id == bindparam("person_id"))),
    ),
)
_OF_ITEM = (
    (LabelOpinion.campaign_id == CampaignItem.campaign_id)
    & (LabelOpinion.source_id == CampaignItem.source_id)
    & (LabelOpinion.number == CampaignItem.number)
)
_GIVEN = select(func.count()).select_from(LabelOpinion).where(_OF_ITEM).correlate(CampaignItem).scalar_subquery()
_BY_ME = (
    select(LabelOpinion.stream)
    .where(_OF_ITEM, LabelOpinion.author_id == bindparam("person_id"))
    .correlate(CampaignItem)
)
_LEFT = (
    select(CampaignItem.source_id, CampaignItem.number)
    .join(Campaign, Campaign.id == CampaignItem.campaign_id)
    .where(
        CampaignItem.campaign_id.in_(bindparam("campaigns", expanding=True)),
        Campaign.opinions > _GIVEN,
        ~_BY_ME.exists(),
    )
)


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
    campaigns = connection.scalars(_MINE, {"person_id": person.id}).all()
    if not campaigns:
        return NOTHING
    of = {"person_id": person.id, "campaigns": campaigns}
    found: set[Place] = set()
    if places is None:
        found.update((source_id, number) for source_id, number in connection.execute(_LEFT, of).all())
    else:
        asked = sorted(set(places))
        for begin in range(0, len(asked), _AT_ONCE):
            these = tuple_(CampaignItem.source_id, CampaignItem.number).in_(asked[begin : begin + _AT_ONCE])
            found.update((source_id, number) for source_id, number in connection.execute(_LEFT.where(these), of))
    return Hidden(person.id, frozenset(found)) if found else NOTHING
