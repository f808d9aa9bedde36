//! What engine and copier have in common on their way out.

use shorthorn_wire::message::{Refusal, Reply, Request, Tag};

use crate::{ReplicaIndex, copier, engine};

/// A list of effects that knows connections.
pub(crate) trait Post {
    /// Connect.
    fn dial(&mut self, replica: ReplicaIndex, address: String);
    /// End the connection.
    fn hang_up(&mut self, replica: ReplicaIndex);
    /// Send on the connection.
    fn send(&mut self, replica: ReplicaIndex, tag: Tag, request: Request);
}

macro_rules! post {
    ($effect:path) => {
        impl Post for Vec<$effect> {
            fn dial(&mut self, replica: ReplicaIndex, address: String) {
                use $effect as Out;
                self.push(Out::Dial { replica, address });
            }

            fn hang_up(&mut self, replica: ReplicaIndex) {
                use $effect as Out;
                self.push(Out::HangUp { replica });
            }

            fn send(&mut self, replica: ReplicaIndex, tag: Tag, request: Request) {
                use $effect as Out;
                self.push(Out::Send {
                    replica,
                    tag,
                    request,
                });
            }
        }
    };
}

post!(engine::Effect);
post!(copier::Effect);

/// Why a reply is not what was asked for, for people.
pub(crate) fn complaint(reply: &Reply) -> String {
    match reply {
        Reply::Refused { why, detail } => format!("refused ({why:?}): {detail}"),
        Reply::Failed { why, detail } => format!("failed ({why:?}): {detail}"),
        _ => "answered something that was not asked".to_owned(),
    }
}

/// Somebody newer is in charge, or the order is old: never asked again (docs/protocol.md, Seal).
pub(crate) fn is_final(reply: &Reply) -> bool {
    matches!(
        reply,
        Reply::Refused {
            why: Refusal::Fenced | Refusal::OldDocument,
            ..
        }
    )
}
