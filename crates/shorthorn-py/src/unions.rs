//! What each machine takes and gives, as unions of classes: for annotations, `isinstance` and exhaustive `match`.

use pyo3::prelude::*;

use crate::effects::{
    Ask, ClientData, ClientDone, ClientExtents, ClientRefused, Dial, Do, End, Exit, Failed,
    Finished, HangUp, Progress, Ready, Send, SendReply, Serve, Status, StopServing, WakeAt,
};
use crate::events::{
    AgentConnected, Answered, Cancel, ClientBlockStatus, ClientFlush, ClientGone, ClientRead,
    ClientWrite, ClientZero, Close, Committed, Connected, Disconnected, Done, Ended, Leave,
    Replied, Requested, Start, Stop, Targets, Timer, Unreachable,
};

macro_rules! union {
    ($module:ident, $name:ident = $first:ident $(| $more:ident)+) => {{
        let py = $module.py();
        let union = py.get_type::<$first>().into_any();
        $(let union = union.bitor(py.get_type::<$more>())?;)+
        $module.add(stringify!($name), union)?;
    }};
}

/// Adds all of them to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    union!(
        module,
        EngineEvent = Start
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
            | Targets
            | Stop
            | Timer
    );
    union!(
        module,
        EngineEffect = Dial
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
    );
    union!(
        module,
        CopierEvent = Start
            | Connected
            | Unreachable
            | Disconnected
            | Replied
            | Targets
            | Committed
            | Cancel
            | Timer
    );
    union!(
        module,
        CopierEffect = Dial | HangUp | Send | Progress | Ready | Finished | Failed | WakeAt
    );
    union!(module, ReplicaEvent = Requested | Done | Ended);
    union!(module, ReplicaEffect = Do | SendReply | End);
    Ok(())
}
