"""Bodies of the routes over people."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from mfn_server.access.local_name import LONGEST as LONGEST_LOCAL
from mfn_server.access.names import LONGEST as LONGEST_NAME
from mfn_server.access.roles import Permission, Role
from mfn_server.access.tokens import LONGEST_DAYS
from mfn_server.schemas import Schema, Text

Password = Annotated[SecretStr, Field(max_length=1024)]
Secret = Annotated[SecretStr, Field(max_length=200)]
Name = Annotated[Text, Field(max_length=200)]  # as typed; `clean_name` says what is one


class PersonView(Schema):
    """Who is logged in."""

    id: str
    name: str
    role: Role
    permissions: list[Permission] = Field(description="What they may do now; through a token, what that may.")


class SessionView(Schema):
    """Whether people log in here, and who has. Without accounts the person is the one at the computer."""

    accounts: bool
    person: PersonView | None


def _one_line(name: str) -> str:
    words = " ".join(name.split())
    if not words:
        raise ValueError("must not be blank")
    return words


class CallBody(Schema):
    """How one wants to be called on a server without accounts."""

    name: Annotated[Text, AfterValidator(_one_line)] = Field(max_length=LONGEST_LOCAL)


class LoginBody(Schema):
    """Who wants in."""

    name: Name
    password: Password


class LinkBody(Schema):
    """What stands behind the `#` of a link."""

    token: Secret


class InvitationSeen(Schema):
    """What an invitation is for."""

    role: Role
    expires_at: datetime


class JoinBody(Schema):
    """Accept an invitation."""

    token: Secret
    name: Name
    password: Password


class ResetSeen(Schema):
    """Whose password a link resets."""

    name: str


class ResetBody(Schema):
    """Set a new password by a link."""

    token: Secret
    password: Password


class ChangePassword(Schema):
    """Set a new password by the old one."""

    old: Password
    new: Password


class SessionRow(Schema):
    """A browser that is logged in. `address` and `agent` are those of the login."""

    id: uuid.UUID
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str
    agent: str
    current: bool


class SessionList(Schema):
    """Logins of a person."""

    items: list[SessionRow]


class NewToken(Schema):
    """A token to be made."""

    name: Annotated[Text, Field(min_length=1, max_length=LONGEST_NAME)]
    scopes: Annotated[list[Permission], Field(min_length=1, max_length=len(Permission))]
    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] = 90


class TokenRow(Schema):
    """A token, by its beginning. `used_at` is right to a minute."""

    id: uuid.UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class TokenList(Schema):
    """Tokens of a person."""

    items: list[TokenRow]


class MadeToken(TokenRow):
    """A token as it was made: `token` is shown this once."""

    token: str


class AccountRow(Schema):
    """A person, as admins see them. `seen_at`: when one of their logins was last used."""

    id: uuid.UUID
    name: str
    role: Role
    active: bool
    created_at: datetime
    seen_at: datetime | None


class AccountList(Schema):
    """Everybody who has, or had, an account."""

    items: list[AccountRow]


class ChangeAccount(Schema):
    """What is to be different about an account."""

    role: Role | None = None
    active: bool | None = None


class MadeLink(Schema):
    """A link as it was made: its path is shown this once."""

    id: uuid.UUID
    path: str
    expires_at: datetime


class NewInvitation(Schema):
    """An invitation to be made."""

    role: Role
    note: Annotated[Text, Field(max_length=200, description="For whom it is meant; admins see it.")] = ""


class InvitationRow(Schema):
    """An invitation. `state` is `open`, `used`, `revoked` or `expired`; `name` is who came by it."""

    id: uuid.UUID
    role: Role
    note: str
    state: str
    made_by: str | None
    created_at: datetime
    expires_at: datetime
    name: str | None


class InvitationList(Schema):
    """The latest invitations."""

    items: list[InvitationRow]


class AuditRow(Schema):
    """Something that was done: by `actor`, who came `via`, from `address`; to `subject`."""

    id: int
    at: datetime
    action: str
    actor_id: uuid.UUID | None
    actor: str
    via: str
    address: str
    subject: str
    details: dict[str, Any]


class AuditPage(Schema):
    """The log, the latest first. `next` is the `before` of the next page; null at its beginning."""

    items: list[AuditRow]
    next: int | None
