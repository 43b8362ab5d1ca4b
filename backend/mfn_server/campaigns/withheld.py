"""What leaves the server in no file: all that is said of features that somebody has yet to judge blindly.

A file is read by whoever gets hold of it, those from whom something is hidden included. So nothing of such a feature is
in any export, whoever asks for it, until nobody can give an opinion of it any more.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from mfn_server.campaigns.blind import Hidden
from mfn_server.db.campaign_tables import Campaign, CampaignItem, LabelOpinion


def withheld_from_files(connection: Connection) -> Hidden:
    """Features of open blind campaigns that have not all their opinions; nobody's words on them are let out."""
    given = (
        select(func.count())
        .select_from(LabelOpinion)
        .where(
            LabelOpinion.campaign_id == CampaignItem.campaign_id,
            LabelOpinion.source_id == CampaignItem.source_id,
            LabelOpinion.number == CampaignItem.number,
        )
        .correlate(CampaignItem)
        .scalar_subquery()
    )
    left = (
        select(CampaignItem.source_id, CampaignItem.number)
        .join(Campaign, Campaign.id == CampaignItem.campaign_id)
        .where(Campaign.is_blind, Campaign.closed_at.is_(None), given < Campaign.opinions)
    )
    return Hidden("", frozenset((source_id, number) for source_id, number in connection.execute(left)))
