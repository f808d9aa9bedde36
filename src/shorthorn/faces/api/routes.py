"""Every call of the API, in one table: path, method, handler, body, answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from shorthorn.control.agent_calls import AgentCalls
from shorthorn.control.control import Control
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.faces.api import views
from shorthorn.faces.api.agents import AgentHandlers
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.events import EventCalls
from shorthorn.faces.api.nodes import NodeCalls
from shorthorn.faces.api.settings import SettingCalls
from shorthorn.faces.api.status import StatusCalls
from shorthorn.faces.api.volumes import VolumeCalls
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, Registered, Registration
from shorthorn.requests import Requests

HEALTH = "/healthz"
"""Answered by every server that runs, also by one that does not lead."""

Handler = Callable[[Call], Awaitable[Any]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `answer` None: no body, or a stream. `status` is that of success."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    body: type[Any] | None = None
    answer: type[Any] | None = None
    status: int = 200
    query: tuple[str, ...] = ()


def routes(control: Control, *, insecure_network: bool) -> tuple[Route, ...]:
    """The table for one control plane."""
    events, requests = EventCalls(control), Requests(control)
    return (
        *_volume_routes(VolumeCalls(control, requests.volumes, events)),
        *_node_routes(NodeCalls(control, requests.nodes)),
        *_setting_routes(SettingCalls(control, requests)),
        *_other_routes(events, StatusCalls(control, insecure_network=insecure_network)),
        *_agent_routes(AgentHandlers(AgentCalls(control))),
    )


def _volume_routes(calls: VolumeCalls) -> tuple[Route, ...]:
    one = "/v1/volumes/{name}"
    held = "/v1/volumes/{name}/attachments/{holder}"
    view = views.VolumeView
    return (
        _route("GET", "/v1/volumes", "list_volumes", "All volumes", calls.list, answer=views.VolumesView),
        _route("POST", "/v1/volumes", "create_volume", "Create a volume", calls.create, views.CreateVolume, view, 201),
        _route("GET", one, "show_volume", "One volume", calls.show, answer=view, query=("until", "wait_s")),
        _route("PATCH", one, "change_volume", "Change what is wanted", calls.change, views.ChangeVolume, view),
        _route("DELETE", one, "delete_volume", "Delete a volume", calls.delete, status=202),
        _route("PUT", held, "attach_volume", "Attach for a holder (idempotent)", calls.attach, views.Attach, view),
        _route("DELETE", held, "detach_volume", "Detach a holder (idempotent)", calls.detach, answer=view),
        _route(
            "GET", one + "/history", "volume_history", "Every transition", calls.history,
            answer=views.EventsView, query=("after",),
        ),
        _route("GET", one + "/explain", "explain_volume", "Why it is as it is", calls.explain, answer=views.ExplainView),
    )  # fmt: skip


def _node_routes(calls: NodeCalls) -> tuple[Route, ...]:
    one = "/v1/nodes/{name}"
    view = views.NodeView
    return (
        _route("GET", "/v1/nodes", "list_nodes", "All nodes", calls.list, answer=views.NodesView),
        _route("GET", one, "show_node", "One node", calls.show, answer=view),
        _route("PUT", one + "/cordon", "cordon_node", "Cordon (idempotent)", calls.cordon, answer=view),
        _route(
            "DELETE", one + "/cordon", "uncordon_node", "Uncordon (idempotent)", calls.uncordon, answer=view
        ),
        _route(
            "PUT",
            one + "/eviction",
            "evict_node",
            "Evict all replicas (idempotent)",
            calls.evict,
            answer=view,
        ),
        _route(
            "DELETE",
            one + "/eviction",
            "cancel_eviction",
            "Cancel the eviction",
            calls.cancel_evict,
            answer=view,
        ),
        _route(
            "POST",
            one + "/declare-dead",
            "declare_node_dead",
            "Say that the node will not come back (idempotent)",
            calls.declare_dead,
            views.DeclareDead,
            views.DeathView,
        ),
        _route(
            "DELETE",
            one + "/declare-dead",
            "withdraw_death",
            "Take that back (idempotent)",
            calls.withdraw_death,
            answer=views.DeathView,
            query=("who",),
        ),
    )


def _setting_routes(calls: SettingCalls) -> tuple[Route, ...]:
    return (
        _route("GET", "/v1/settings", "list_settings", "All settings", calls.list, answer=views.SettingsView),
        _route(
            "PATCH",
            "/v1/settings/{name}",
            "change_setting",
            "Change a setting (idempotent)",
            calls.change,
            views.ChangeSetting,
            views.SettingView,
        ),
    )


def _other_routes(events: EventCalls, status: StatusCalls) -> tuple[Route, ...]:
    page = ("after", "subject", "limit")
    return (
        _route(
            "GET",
            "/v1/events",
            "list_events",
            "The journal",
            events.list,
            answer=views.EventsView,
            query=page,
        ),
        _route(
            "GET",
            "/v1/watch",
            "watch_events",
            "The journal as server-sent events",
            events.watch,
            query=("after",),
        ),
        _route(
            "GET",
            "/v1/status",
            "status",
            "The cluster in a few numbers",
            status.status,
            answer=views.StatusView,
        ),
        _route(
            "GET",
            "/v1/check",
            "check",
            "Recorded against what runs",
            status.check,
            answer=views.CheckView,
            query=("wait_s",),
        ),
        _route("GET", HEALTH, "healthz", "Whether the server answers", status.healthz, status=204),
    )


def _agent_routes(calls: AgentHandlers) -> tuple[Route, ...]:
    one = "/v1/agents/{node}"
    return (
        _route(
            "POST", one + "/register", "register_node", "Register", calls.register, Registration, Registered
        ),
        _route(
            "GET", one + "/orders", "orders", "Orders, one NodeOrders a line", calls.orders, answer=NodeOrders
        ),
        _route(
            "POST", one + "/sighting", "sighting", "What is seen", calls.sighting, NodeSighting, status=204
        ),
        _route("POST", one + "/beat", "beat", "Nothing changed", calls.beat, Beat, status=204),
        _route(
            "POST", one + "/events", "engine_event", "An engine's ask", calls.event, EngineEvent, EngineAnswer
        ),
    )


def _route(  # noqa: PLR0913, PLR0917 - the columns of the table
    method: str,
    path: str,
    name: str,
    summary: str,
    handler: Handler,
    body: type[Any] | None = None,
    answer: type[Any] | None = None,
    status: int = 200,
    query: tuple[str, ...] = (),
) -> Route:
    return Route(
        method=method, path=path, name=name, summary=summary, handler=handler,
        body=body, answer=answer, status=status, query=query,
    )  # fmt: skip
