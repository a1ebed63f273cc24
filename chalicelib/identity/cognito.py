"""Staff in an Amazon Cognito user pool: passwords are checked there, and groups are the roles.

The pool's users are kept from the AWS console. Cognito's API: AdminInitiateAuth (flow
ADMIN_USER_PASSWORD_AUTH), AdminRespondToAuthChallenge (NEW_PASSWORD_REQUIRED), ChangePassword,
AdminGetUser, AdminListGroupsForUser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import FieldError
from chalicelib.runtime import aws, environment
from chalicelib.services.ports import TryAgain
from chalicelib.services.staff import (
    Identity,
    InvalidCredentials,
    PasswordChangeRequired,
    Role,
)

_FLOW = "ADMIN_USER_PASSWORD_AUTH"
_NEW_PASSWORD = "NEW_PASSWORD_REQUIRED"  # noqa: S105 - the name of a challenge

_NOT_THEM = frozenset(
    {
        "NotAuthorizedException",  # also: disabled, expired, tried too often
        "PasswordResetRequiredException",
        "UserNotConfirmedException",
        "UserNotFoundException",
        "InvalidParameterException",  # an e-mail or a password that can be nobody's
    }
)
_PASSWORD_NOT_TAKEN = frozenset(
    {"InvalidPasswordException", "PasswordHistoryPolicyViolationException"}
)
_BUSY = frozenset(
    {
        "InternalErrorException",
        "LimitExceededException",
        "ServiceUnavailableException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class CognitoIdentities:
    """The port ``Identities`` on a user pool."""

    def check(self, email: str, password: str) -> Identity:
        """Who has that e-mail and that password.

        Raises:
            InvalidCredentials: nobody, or somebody who may not log in (any more).
            PasswordChangeRequired: the password is right, and was given by somebody else.
            TryAgain: the pool cannot be asked now.
        """
        answer = self._tried(email, password)
        if answer.get("ChallengeName") == _NEW_PASSWORD:
            raise PasswordChangeRequired
        if "AuthenticationResult" not in answer:  # another challenge: this pool has none
            raise InvalidCredentials
        return self._identity(email)

    def change(self, email: str, password: str, new_password: str) -> Identity:
        """Give whoever has that e-mail and that password another password.

        Raises:
            InvalidCredentials: as in ``check``.
            FieldError: on ``new_password``: the pool does not take it.
            TryAgain: the pool cannot be asked now.
        """
        answer = self._tried(email, password)
        try:
            if answer.get("ChallengeName") == _NEW_PASSWORD:
                self._answer_challenge(answer, email, new_password)
            elif "AuthenticationResult" in answer:
                self._call(
                    "change_password",
                    PreviousPassword=password,
                    ProposedPassword=new_password,
                    AccessToken=answer["AuthenticationResult"]["AccessToken"],
                )
            else:
                raise InvalidCredentials
        except ClientError as error:
            if _code(error) in _PASSWORD_NOT_TAKEN:
                raise FieldError("new_password", "is not taken: choose another one") from None
            raise _translated(error) from error
        return self._identity(email)

    def roles_now(self, username: str) -> tuple[str, ...] | None:
        """The roles that somebody has now; ``None`` for one who was disabled or deleted.

        Raises:
            TryAgain: the pool cannot be asked now.
        """
        try:
            user = self._call("admin_get_user", **_pool(), Username=username)
            if not user.get("Enabled", False):
                return None
            return self._groups(username)
        except ClientError as error:
            if _code(error) == "UserNotFoundException":
                return None
            raise _translated(error) from error

    def _tried(self, email: str, password: str) -> Mapping[str, Any]:
        try:
            return self._call(
                "admin_initiate_auth",
                **_pool_and_client(),
                AuthFlow=_FLOW,
                AuthParameters={"USERNAME": email, "PASSWORD": password},
            )
        except ClientError as error:
            raise _translated(error) from error

    def _answer_challenge(self, asked: Mapping[str, Any], email: str, new_password: str) -> None:
        username = asked.get("ChallengeParameters", {}).get("USER_ID_FOR_SRP", email)
        self._call(
            "admin_respond_to_auth_challenge",
            **_pool_and_client(),
            ChallengeName=_NEW_PASSWORD,
            Session=asked["Session"],
            ChallengeResponses={"USERNAME": username, "NEW_PASSWORD": new_password},
        )

    def _identity(self, email: str) -> Identity:
        """Who has just proved to be the one with that e-mail."""
        try:
            user = self._call("admin_get_user", **_pool(), Username=email)
            username = str(user["Username"])
            return Identity(username, email, self._groups(username))
        except ClientError as error:
            raise _translated(error) from error

    def _groups(self, username: str) -> tuple[str, ...]:
        """The groups that are roles of ours; others are somebody else's business."""
        answer = self._call("admin_list_groups_for_user", **_pool(), Username=username, Limit=60)
        names = {group["GroupName"] for group in answer.get("Groups", ())}
        return tuple(role.value for role in Role if role.value in names)

    def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        request: Callable[..., Mapping[str, Any]] = getattr(aws.client("cognito-idp"), operation)
        try:
            return request(**parameters)
        except BotoCoreError as error:  # no answer, or none in time
            raise TryAgain(type(error).__name__) from error


def _translated(error: ClientError) -> Exception:
    """What a refusal is to our caller. Its text is not told: it may quote what was sent."""
    code = _code(error)
    if code in _NOT_THEM:
        return InvalidCredentials()
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _BUSY or status >= 500:
        return TryAgain(code)
    raise error


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))


def _pool() -> Mapping[str, str]:
    return {"UserPoolId": environment.staff_pool_id()}


def _pool_and_client() -> Mapping[str, str]:
    return {**_pool(), "ClientId": environment.staff_client_id()}
