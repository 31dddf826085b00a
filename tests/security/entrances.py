"""Who may open what: every address of the site, by the name it has in `reverse()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

_NOTHING: frozenset[str] = frozenset()


class Need(NamedTuple):
    """What somebody must be, or have, to get in."""

    logged_in: bool = True
    staff: bool = True
    #: Each of these sets is enough.
    permissions: tuple[frozenset[str], ...] = (_NOTHING,)

    def is_met_by(self, visitor: User | AnonymousUser) -> bool:
        return (
            (visitor.is_authenticated or not self.logged_in)
            and (visitor.is_staff or not self.staff)
            and any(visitor.has_perms(enough) for enough in self.permissions)
        )

    def __and__(self, other: Need) -> Need:
        """Return the need for what both ask for."""
        return Need(
            self.logged_in or other.logged_in,
            self.staff or other.staff,
            tuple(mine | theirs for mine in self.permissions for theirs in other.permissions),
        )

    def __or__(self, other: Need) -> Need:
        """Return the need for what either asks of staff."""
        return Need(permissions=self.permissions + other.permissions)


def all_of(*permissions: str) -> Need:
    return Need(permissions=(frozenset(permissions),))


def one_of(*permissions: str) -> Need:
    return Need(permissions=tuple(frozenset([name]) for name in permissions))


def looking_at(model: str) -> Need:
    """Return what the admin wants to see of those who look: the right to change includes it."""
    app_label, name = model.split(".")
    return one_of(f"{app_label}.view_{name}", f"{app_label}.change_{name}")


EVERYBODY = Need(logged_in=False, staff=False)
LOGGED_IN = Need(staff=False)
STAFF = Need()
NOBODY = Need(permissions=())


class Entrance(NamedTuple):
    get: Need
    post: Need | None = None  # what a GET needs, when None
    #: How a GET by those who get in is answered.
    opens: tuple[int, ...] = (200,)
    #: How those who are logged in are refused, if not by 403.
    refused: int = 403
    query: str = ""  # what a GET has to ask for
    #: The admin's actions on chosen rows, and what each needs besides.
    actions: dict[str, Need] = {}

    def need(self, method: str) -> Need:
        return self.post if method == "POST" and self.post else self.get

    @property
    def permissions(self) -> set[str]:
        """All that matter here in some way."""
        needs = (self.get, self.post or self.get, *self.actions.values())
        return {name for need in needs for enough in need.permissions for name in enough}


def _admin_pages(
    name: str, look: Need, add: Need, change: Need, delete: Need
) -> dict[str, Entrance]:
    """Return the pages that the admin has for each model, but for its list."""
    app_label, _, model = name.partition("_")
    return {
        f"admin:{name}_add": Entrance(add),
        f"admin:{name}_change": Entrance(look, post=change),
        f"admin:{name}_history": Entrance(look),
        f"admin:{name}_delete": Entrance(delete),
        # Leads to the page on which one changes it, which then looks at who comes.
        f"/admin/{app_label}/{model}/{{object_id}}/": Entrance(STAFF, opens=(302,)),
    }


USERS = looking_at("accounts.user")
GROUPS = looking_at("auth.group")
LOGS = looking_at("joblogs.userlog")
LOGINS = looking_at("axes.accessattempt")
JOBS = all_of("joblogs.view_job")
WORKERS = all_of("joblogs.view_worker")
PERIODIC_TASKS = all_of("joblogs.view_periodictask")
VERBS = {
    verb: all_of(f"joblogs.{verb}_job")
    for verb in ("retry", "cancel", "abort", "run_now", "delete")
}

ENTRANCES = {
    "home": Entrance(STAFF, opens=(302,)),
    "login": Entrance(EVERYBODY, opens=(200, 302)),
    "logout": Entrance(EVERYBODY, opens=(405,)),
    "password-change": Entrance(LOGGED_IN),
    "password-change-done": Entrance(LOGGED_IN),
    # Users
    "user-list": Entrance(all_of("accounts.view_user")),
    "user-create": Entrance(all_of("accounts.add_user")),
    "user-detail": Entrance(all_of("accounts.view_user")),
    "user-update": Entrance(all_of("accounts.change_user")),
    "user-password": Entrance(all_of("accounts.change_user")),
    "user-delete": Entrance(all_of("accounts.delete_user")),
    "user-logs": Entrance(all_of("accounts.view_user", "joblogs.view_userlog")),
    # Logs
    "log-list": Entrance(all_of("joblogs.view_userlog")),
    # The admin itself
    "admin:index": Entrance(STAFF),
    "admin:login": Entrance(EVERYBODY, opens=(302,)),
    "admin:logout": Entrance(EVERYBODY, opens=(405,)),
    "admin:password_change": Entrance(EVERYBODY, opens=(302,)),
    "admin:jsi18n": Entrance(STAFF),
    "admin:autocomplete": Entrance(
        USERS, post=STAFF, query="?app_label=joblogs&model_name=userlog&field_name=user"
    ),
    "admin:app_list accounts": Entrance(
        one_of(*(f"accounts.{verb}_user" for verb in ("view", "add", "change", "delete"))),
        refused=404,
    ),
    "admin:app_list auth": Entrance(
        one_of(*(f"auth.{verb}_group" for verb in ("view", "add", "change", "delete"))),
        refused=404,
    ),
    "admin:app_list axes": Entrance(
        one_of(*(f"axes.{verb}_accessattempt" for verb in ("view", "change", "delete"))),
        refused=404,
    ),
    "admin:app_list joblogs": Entrance(LOGS | JOBS | WORKERS | PERIODIC_TASKS, refused=404),
    "/admin/{url}": Entrance(STAFF, opens=(404,)),
    # Users in the admin
    "admin:accounts_user_changelist": Entrance(
        USERS, actions={"delete_selected": all_of("accounts.delete_user")}
    ),
    **_admin_pages(
        "accounts_user",
        look=USERS,
        # Who adds users goes on to change them, says Django.
        add=all_of("accounts.add_user", "accounts.change_user"),
        change=all_of("accounts.change_user"),
        delete=all_of("accounts.delete_user"),
    ),
    "admin:auth_user_password_change": Entrance(all_of("accounts.change_user")),
    # Groups in the admin
    "admin:auth_group_changelist": Entrance(
        GROUPS, actions={"delete_selected": all_of("auth.delete_group")}
    ),
    **_admin_pages(
        "auth_group",
        look=GROUPS,
        add=all_of("auth.add_group"),
        change=all_of("auth.change_group"),
        delete=all_of("auth.delete_group"),
    ),
    # Failed logins in the admin
    "admin:axes_accessattempt_changelist": Entrance(
        LOGINS, actions={"unlock": all_of("axes.delete_accessattempt")}
    ),
    **_admin_pages(
        "axes_accessattempt",
        look=LOGINS,
        add=NOBODY,
        change=NOBODY,
        delete=all_of("axes.delete_accessattempt"),
    ),
    # Jobs and what they leave in the admin
    "admin:joblogs_job_changelist": Entrance(JOBS, actions=VERBS),
    **{
        f"admin:joblogs_job_act {verb}": Entrance(JOBS & need, query="?ids=1")
        for verb, need in VERBS.items()
    },
    **_admin_pages("joblogs_job", look=JOBS, add=NOBODY, change=NOBODY, delete=NOBODY),
    "admin:joblogs_userlog_changelist": Entrance(LOGS),
    **_admin_pages("joblogs_userlog", look=LOGS, add=NOBODY, change=NOBODY, delete=NOBODY),
    "admin:joblogs_worker_changelist": Entrance(WORKERS),
    **_admin_pages("joblogs_worker", look=WORKERS, add=NOBODY, change=NOBODY, delete=NOBODY),
    "admin:joblogs_periodictask_changelist": Entrance(PERIODIC_TASKS),
    **_admin_pages(
        "joblogs_periodictask", look=PERIODIC_TASKS, add=NOBODY, change=NOBODY, delete=NOBODY
    ),
}
