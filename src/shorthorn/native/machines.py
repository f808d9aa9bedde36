"""What each machine of the native module takes and gives, as types for those who drive one."""

from shorthorn.native._native import (
    Addresses,
    AgentConnected,
    Answered,
    Ask,
    Cancel,
    ClientBlockStatus,
    ClientData,
    ClientDone,
    ClientExtents,
    ClientFlush,
    ClientGone,
    ClientRead,
    ClientRefused,
    ClientWrite,
    ClientZero,
    Close,
    Committed,
    Connected,
    Dial,
    Disconnected,
    Do,
    Done,
    End,
    Ended,
    Exit,
    Failed,
    Finished,
    HangUp,
    Leave,
    Progress,
    Ready,
    Replied,
    Requested,
    Send,
    SendReply,
    Serve,
    Start,
    Status,
    Stop,
    StopServing,
    Timer,
    Unreachable,
    WakeAt,
)

__all__ = [
    "CopierEffect",
    "CopierEvent",
    "EngineEffect",
    "EngineEvent",
    "ReplicaEffect",
    "ReplicaEvent",
]

EngineEvent = (
    Start
    | Connected
    | Unreachable
    | Disconnected
    | Replied
    | ClientRead
    | ClientWrite
    | ClientZero
    | ClientFlush
    | ClientBlockStatus
    | ClientGone
    | AgentConnected
    | Answered
    | Close
    | Leave
    | Addresses
    | Stop
    | Timer
)
EngineEffect = (
    Dial
    | HangUp
    | Send
    | ClientDone
    | ClientData
    | ClientExtents
    | ClientRefused
    | Ask
    | Serve
    | StopServing
    | Status
    | Exit
    | WakeAt
)

CopierEvent = (
    Start | Connected | Unreachable | Disconnected | Replied | Addresses | Committed | Cancel | Timer
)
CopierEffect = Dial | HangUp | Send | Progress | Ready | Finished | Failed | WakeAt

ReplicaEvent = Requested | Done | Ended
ReplicaEffect = Do | SendReply | End
